"""The page of the service: static files, served as they are. Nothing here is built, and nothing comes from elsewhere."""

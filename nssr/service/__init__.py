"""The HTTP service: `app.create_app` makes it from `settings.Settings`; docs/service.md is its manual."""

"""Work that takes long, each piece in a process of its own: what it does (`tasks`), the process (`worker`), and who starts,
watches, limits and ends it (`supervisor`)."""

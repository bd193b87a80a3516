collect_ignore = ["fixtures"]  # nbval would run it; the browser tests do

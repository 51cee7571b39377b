"""bellmax's own tasks, one file each, which `envs.make("bellmax/...")` and imports find alike."""

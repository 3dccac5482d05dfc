"""Config: compose, check, build; nothing here imports torch before the config is valid."""

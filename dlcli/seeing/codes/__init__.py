"""What codes are good for: pictures and tables of rules that embed examples and decode codes."""

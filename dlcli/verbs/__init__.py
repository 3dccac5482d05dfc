"""What each verb does, once its config is valid."""

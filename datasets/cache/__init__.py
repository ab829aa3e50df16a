"""Features that frozen encoders made of raw media, kept on disk: made once, read by every job."""

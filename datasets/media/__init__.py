"""Raw media: clips of video, sound, flow, pictures and text, and how they are read from files."""

"""Whether a pipeline runs, and how it is started, stopped, taken over and upgraded. Pure."""

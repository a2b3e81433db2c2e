"""Recovery points: made, judged, kept, and the lag that they show. Pure."""

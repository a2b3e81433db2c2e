"""One pipeline on real servers: its state read, its drivers seen, its steps carried out."""

"""How good the room is, held against what people marked by hand; nothing here runs in a pipeline."""

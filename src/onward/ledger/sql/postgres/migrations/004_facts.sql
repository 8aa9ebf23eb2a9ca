-- What a source says of a result besides its bytes, e.g. how many rows a window has and from when to when it reaches.
ALTER TABLE onward.version ADD COLUMN facts TEXT COLLATE "C";

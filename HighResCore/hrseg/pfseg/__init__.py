"""PFSeg: a whole volume at once; a shrunk copy goes in, the mask comes out at full resolution."""

"""The blob store: bytes under their sha256, for ever. A blob exists whole under its digest or not at all."""

"""Sparser-to-sparse training on arrays; all but the settings need torch, nothing knows AnnData."""

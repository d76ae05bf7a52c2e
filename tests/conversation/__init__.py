"""Sentences in, sentences out."""

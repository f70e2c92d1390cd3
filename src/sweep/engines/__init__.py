"""Schedulers that cells can be handed to, for machines other than this one."""

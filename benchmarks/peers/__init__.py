"""Reqscope side by side with what others use to see the requests of a FastAPI application."""

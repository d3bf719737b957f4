"""Gradio, or what to install: an extra, which only the modules of the page import."""

try:
    import gradio as gr
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError('The demo needs Gradio: pip install "vitpose[demo]".') from missing

__all__ = ["gr"]

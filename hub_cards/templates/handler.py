"""Where an Inference Endpoint starts; it installs vitpose from requirements.txt first."""

from vitpose.hub_cards.handler import EndpointHandler

__all__ = ["EndpointHandler"]

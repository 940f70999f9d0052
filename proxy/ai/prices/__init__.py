"""Prices: a compact table compiled from genai-prices, matching of models, exact cost in nano-dollars."""

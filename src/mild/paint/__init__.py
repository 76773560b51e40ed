"""From the canvas to the photo's resolution: texture, grain, colour, and the rim of the hole."""

"""Pictures of numbers, as SVG and in the terminal: no library, no network, light and dark."""

from seq2x.pictures.curves import Curve, curves_svg
from seq2x.pictures.heatmap import heatmap_svg, heatmap_terminal

__all__ = ["Curve", "curves_svg", "heatmap_svg", "heatmap_terminal"]

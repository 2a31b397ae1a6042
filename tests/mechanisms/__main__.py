"""Write docs/mechanisms.md anew."""

from .page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
print(PAGE)

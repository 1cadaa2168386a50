"""The engines, a file each. This table is all that is known of one before it is chosen."""

from types import MappingProxyType

ENGINES = MappingProxyType({
    "embedded": "diffusion, ships with vidswap", "warp": "geometry alone, ships with vidswap",
    "inswapper": "insightface's network of 128 pixels, the yardstick, for who has the file",
    "sd15": "Stable Diffusion 1.5, pulled", "sdxl": "Stable Diffusion XL, pulled",
    "flux": "FLUX.2 klein, which sees the photos, pulled; or FLUX.1 Fill or Kontext, non-commercial",
})  # fmt: skip

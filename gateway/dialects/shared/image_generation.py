"""Images that a model generates: OpenAI's `image_generation` tool and Gemini's image output.

Gemini has no such tool: its image models return images if `responseModalities` requests them,
as `inlineData` parts. A client of OpenAI's Responses gets each as an `image_generation_call`, one
of Chat Completions as an entry of `images`, as with OpenRouter and LiteLLM.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.canon.media import data_url, parse_data_url, resolve_media_type
from gateway.canon.request import Tool
from gateway.dialects.shared.fields import object_or_empty, string_or_empty

Json = dict[str, Any]

NAME, CALL = "image_generation", "image_generation_call"
# The aspect ratios of Gemini's images, https://ai.google.dev/gemini-api/docs/image-generation
_ASPECT_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
# The longest side in pixels up to which a size is requested.
_SIZES = ((1536, "1K"), (2560, "2K"))
_LARGEST_SIZE = "4K"
# One side of an image.
_PIXELS = re.compile(r"[1-9][0-9]{0,5}")
# Values that request nothing besides an image.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "action": ("auto", "generate"),
    "background": ("auto",),
    "moderation": ("auto",),
    "output_compression": (100,),
    "output_format": ("png",),
    "partial_images": (0,),
    "quality": ("auto",),
    "size": ("auto",),
}


def is_image_generation(tool: Tool) -> bool:
    """Whether a tool is OpenAI's image generation."""
    return tool.kind == "server" and tool.name == NAME


def tool_losses(tool: Tool) -> list[str]:
    """The names of the tool's fields that Gemini's models have no equivalent of."""
    return [
        name
        for name, value in (tool.native or {}).items()
        if name != "type"
        and not (name == "size" and _parse_size(value) is not None)
        and value is not None
        and value not in _DEFAULTS.get(name, ())
    ]


def image_config(tool: Tool) -> tuple[Json, bool]:
    """Gemini's `imageConfig` for the tool's size, and whether it has exactly its proportions."""
    sides = _parse_size((tool.native or {}).get("size"))
    if sides is None:
        return {}, True
    ratio = sides[0] / sides[1]
    nearest = min(_ASPECT_RATIOS, key=lambda name: abs(_aspect_ratio(name) - ratio))
    longest = max(sides)
    size = next((name for limit, name in _SIZES if longest <= limit), _LARGEST_SIZE)
    config = (
        {"aspectRatio": nearest} if size == "1K" else {"aspectRatio": nearest, "imageSize": size}
    )
    return config, abs(_aspect_ratio(nearest) - ratio) < 0.01


def _parse_size(size: Any) -> tuple[int, int] | None:
    """Width and height in pixels; None for any other value."""
    width, _, height = string_or_empty(size).partition("x")
    if not (_PIXELS.fullmatch(width) and _PIXELS.fullmatch(height)):
        return None
    return int(width), int(height)


def _aspect_ratio(name: str) -> float:
    width, _, height = name.partition(":")
    return int(width) / int(height)


# Fields of Chat that request images, with the values that Gemini has too.
_CHAT = "openai_chat"
_MODALITIES = {"text": "TEXT", "image": "IMAGE"}
_CHAT_CONFIG_FIELDS = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}


def chat_image_config(extra: dict[str, Json]) -> tuple[Json, dict[str, Json]]:
    """Gemini's settings for the images that a Chat client requests, and the remaining fields.

    Chat requests them as OpenRouter documents it, with `modalities` and `image_config`; OpenAI
    has no such fields. `extra` is that of the request (`Request.extra`).
    https://openrouter.ai/docs/features/multimodal/image-generation
    """
    config: Json = {}
    fields = dict(extra.get(_CHAT, {}))
    modalities = fields.get("modalities")
    if isinstance(modalities, list) and "image" in modalities and _are_modalities(modalities):
        config["responseModalities"] = [_MODALITIES[name] for name in modalities]
        del fields["modalities"]
    image_config = object_or_empty(fields.get("image_config"))
    image_fields = {
        gemini_name: image_config[name]
        for name, gemini_name in _CHAT_CONFIG_FIELDS.items()
        if isinstance(image_config.get(name), str)
    }
    if image_fields:
        config["imageConfig"] = image_fields
        del fields["image_config"]
        other_names = [name for name in image_config if name not in _CHAT_CONFIG_FIELDS]
        fields |= {f"image_config.{name}": image_config[name] for name in other_names}
    return config, {**extra, _CHAT: fields}


def _are_modalities(names: list[Any]) -> bool:
    return all(isinstance(name, str) and name in _MODALITIES for name in names)


def read_image(data: Json) -> str:
    """The base64 data of an image in a part of Gemini's; empty for any other part."""
    blob = data.get("inlineData")
    if "type" in data or not isinstance(blob, dict):
        return ""
    is_image = string_or_empty(blob.get("mimeType")).startswith("image/")
    return string_or_empty(blob.get("data")) if is_image else ""


def render_call_item(image: str) -> Json:
    """The `image_generation_call` with a complete image, without its id."""
    return {"type": CALL, "status": "completed", "result": image}


def render_chat_images(data: Json) -> list[Json]:
    """The entries of `images` in a Chat message for one part; empty for a part without an image.

    https://openrouter.ai/docs/features/multimodal/image-generation
    """
    image = read_image(data) or _read_call(data)
    if not image:
        return []
    declared_type = object_or_empty(data.get("inlineData")).get("mimeType")
    url = data_url(resolve_media_type(image, declared_type, "image/png"), image)
    return [{"type": "image_url", "image_url": {"url": url}}]


def read_chat_image(entry: Any) -> Json | None:
    """The `image_generation_call` with the image of an entry of `images`; None without a data URL.

    The reverse of `render_chat_images`.
    """
    url = string_or_empty(object_or_empty(object_or_empty(entry).get("image_url")).get("url"))
    parsed_url = parse_data_url(url)
    return None if parsed_url is None else render_call_item(parsed_url[1])


def _read_call(data: Json) -> str:
    """The base64 data of the image in an `image_generation_call`; empty for any other part."""
    return string_or_empty(data.get("result")) if data.get("type") == CALL else ""


def render_gemini_part(data: Json) -> Json | None:
    """The part for an `image_generation_call`; None for any other part or a call without image."""
    image = _read_call(data)
    if not image:
        return None
    media_type = resolve_media_type(image, None, "image/png")
    return {"inlineData": {"mimeType": media_type, "data": image}}

"""Parts of forms: fields, errors, and the buttons below them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django import template
from django.forms import BaseForm, BoundField
from django.forms.utils import ErrorList, flatatt
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.suggestions import suggestion_attributes
from console.templatetags.ui import with_code

register = template.Library()

FieldSource = BoundField | Iterable[BoundField]


@register.simple_tag
def suggestions(kind: str, list_id: str) -> SafeString:
    """The attributes of a field with suggestions of a kind in the `datalist` of this ID."""
    return flatatt(suggestion_attributes(kind, list_id))


@register.simple_tag
def form_fields(*sources: FieldSource) -> SafeString:
    """Fields with label, hint and errors. A source is a field, a form or a list of fields.

    Raises ValueError for a field that the form does not have.
    """
    fields = (field for source in sources for field in _fields_of(source))
    template = "console/components/_field.html"
    return format_html_join(
        "\n", "{}", ((render_to_string(template, {"field": f}),) for f in fields)
    )


def _fields_of(source: FieldSource | str) -> Iterator[BoundField]:
    # Templates replace what does not exist with an empty string.
    if isinstance(source, str):
        raise ValueError("form_fields: no such field")
    yield from [source] if isinstance(source, BoundField) else source


@register.inclusion_tag("console/components/_form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """The errors that belong to no field."""
    return {"errors": form.non_field_errors()}


@register.simple_tag
def error_list(errors: ErrorList | str | Promise | None, element_id: str = "") -> SafeString | str:
    """The errors of a field, or one message; nothing without an error."""
    if not errors:
        return ""
    messages = errors if isinstance(errors, ErrorList) else [errors]
    attribute = format_html(' id="{}"', element_id) if element_id else ""
    rows = ((with_code(str(message)),) for message in messages)
    items = format_html_join("", "<li>{}</li>", rows)
    return format_html('<ul class="errors"{}>{}</ul>', attribute, items)


@register.inclusion_tag("console/components/_number_field.html")
def number_field(
    name: str,
    label: str,
    value: object,
    errors: ErrorList | str,
    *,
    integer: bool = False,
    placeholder: str = "",
) -> dict[str, Any]:
    """A number that belongs to no Django form; an `integer` has a keyboard without a point."""
    return {
        "name": name,
        "label": label,
        "value": value,
        "errors": errors,
        "inputmode": "numeric" if integer else "decimal",
        "placeholder": placeholder,
    }


@register.inclusion_tag("console/components/_form_actions.html")
def form_actions(label: str, cancel_view: str, *args: object) -> dict[str, Any]:
    """The submit button, and Cancel, which opens the view with this name and arguments."""
    return {"label": label, "cancel_url": reverse(cancel_view, args=args)}

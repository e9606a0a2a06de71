"""Forms of evaluations: settings, assertions, and cases."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import msgspec
from django import forms
from django.utils.translation import gettext_lazy as _

from console.evaluate import definition as spec
from console.evaluate.assertions import TYPES, Assertion, InvalidAssertion, parse_assertion
from console.evaluate.case_parser import FORMATS, json_problem, parse_case_text
from console.evaluate.definition import (
    Case,
    Definition,
    InvalidDefinition,
    Problem,
    parse_cases,
    parse_definition,
    render_case,
    render_definition,
)
from console.evaluate.file_format import MAX_FILE_BYTES, load_file
from console.folded_fields import FoldedFields
from console.form_fields import CODE_INPUT
from console.optimistic_lock import ValuesLock
from console.pages.evaluate.labels import ASSERTION_LABELS, FORMAT_LABELS
from console.playground.validation import MAX_DEPTH, is_storable
from console.suggestions import suggestion_attributes

Json = dict[str, Any]
# The character, or an escape of it.
_NUL = re.compile(r"\x00|\\(?:u0000|x00|0)")


def _check_storable(value: Any, text: str, depth: int) -> None:
    """Raises ValidationError if the database cannot store the value of a JSON or YAML text.

    `depth` is the number of levels around the value in the stored document.
    """
    if is_storable(value, depth):
        return
    if _NUL.search(text):
        raise forms.ValidationError(_("Contains a NUL character, which cannot be stored."))
    raise forms.ValidationError(_("Nested too deeply, more than %d levels.") % (MAX_DEPTH - depth))


class JsonField(forms.CharField):
    """A text field with JSON; empty is None."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 4, "class": "mono", **CODE_INPUT})
        super().__init__(required=False, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Indented JSON of a stored value; text that was typed unchanged."""
        if value is None or isinstance(value, str):
            return value or ""
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

    def to_python(self, value: Any) -> Any:
        """The value of the JSON. Raises ValidationError."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            decoded_value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise forms.ValidationError(_("Not valid JSON: %s.") % json_problem(error)) from None
        _check_storable(decoded_value, text, 1)
        return decoded_value


class ModelsField(forms.MultipleChoiceField):
    """Models of the gateway; a stored model that no longer exists remains a choice."""

    def __init__(self) -> None:
        super().__init__(label=_("Models"), required=False, widget=forms.CheckboxSelectMultiple)


def _threshold_field(help_text: Any = "") -> forms.FloatField:
    return forms.FloatField(
        label=_("Pass threshold, 0 to 1"),
        required=False,
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=help_text,
    )


# With more models, the page lists the selected ones and searches for the others.
MAX_LISTED_MODELS = 200


class EvaluationForm(FoldedFields, ValuesLock, forms.Form):
    """Name, prompt, models and settings of an evaluation."""

    FIRST_FIELDS = frozenset({"name", "system", "prompt", "models", "judge"})

    name = forms.CharField(label=_("Name"), max_length=spec.MAX_NAME)
    system = forms.CharField(
        label=_("System prompt"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    prompt = forms.CharField(
        label=_("Prompt"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Variables in double braces are filled in from each case."),
    )
    models = ModelsField()
    judge = forms.CharField(
        label=_("Judge model"),
        required=False,
        max_length=200,
        help_text=_("Grades responses by a rubric, for assertions of the type “Rubric”."),
        widget=forms.TextInput(
            attrs={**CODE_INPUT, **suggestion_attributes("names", "model-names")},
        ),
    )
    repeat = forms.IntegerField(
        label=_("Responses per case and model"),
        initial=1,
        min_value=1,
        max_value=spec.MAX_REPEATS,
    )
    concurrency = forms.IntegerField(
        label=_("Concurrent requests"),
        initial=spec.DEFAULT_CONCURRENCY,
        min_value=1,
        max_value=spec.MAX_CONCURRENCY,
    )
    pass_rate = forms.FloatField(
        label=_("Required pass rate, 0 to 1"),
        initial=1.0,
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=_("Below it, dragoman eval ends with exit status 1."),
    )
    threshold = _threshold_field(_("Leave empty to require all assertions."))
    params = JsonField(
        label=_("Parameters"),
        help_text=_('Fields of the Chat Completions request, for example {"temperature": 0}.'),
    )
    tools = JsonField(
        label=_("Tools"), help_text=_("A list of tools with name, description and parameters.")
    )
    response_schema = JsonField(label=_("JSON Schema of the response"))
    vars = JsonField(
        label=_("Default variables"), help_text=_("For cases that do not have the variable.")
    )
    messages = JsonField(
        label=_("Messages"),
        help_text=_("Replaces the system prompt and the prompt by a list of messages."),
    )

    def __init__(
        self, data: Any, *, models: list[str], definition: Definition, is_new: bool
    ) -> None:
        self.definition = definition
        if not is_new:
            # Cases have pages of their own, and are not overwritten here.
            self.locked_values = msgspec.structs.replace(definition, cases=())
        super().__init__(data, initial=_initial_values(definition))
        names = list(dict.fromkeys([*definition.models, *models]))
        field: Any = self.fields["models"]
        field.choices = [(name, name) for name in names]
        self.has_model_search = len(names) > MAX_LISTED_MODELS
        self.listed_models = list_models(self["models"].value() or [], names)

    def read(self, assertions: list[Json]) -> Definition | None:
        """The definition with these settings; None after errors, which the form shows."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        document: Json = {
            "name": data["name"],
            "models": data["models"],
            "judge": data["judge"],
            "repeat": data["repeat"],
            "concurrency": data["concurrency"],
            "pass_rate": data["pass_rate"],
            "threshold": data["threshold"],
            "assert": assertions,
            **{name: data[name] for name in ("params", "tools", "response_schema", "vars")},
        }
        if data["messages"] is not None:
            document["messages"] = data["messages"]
        else:
            document["prompt"] = data["prompt"] or spec.DEFAULT_PROMPT
            document["system"] = data["system"]
        try:
            definition = parse_definition(document)
        except InvalidDefinition as invalid:
            for message in invalid.errors:
                self.add_error(*_form_error(self, message))
            return None
        try:
            _check_storable([*definition.messages], data["prompt"], 1)
        except forms.ValidationError as error:
            self.add_error("prompt", error)
            return None
        return msgspec.structs.replace(definition, cases=self.definition.cases)


def list_models(selected: list[str], names: list[str], text: str = "") -> list[tuple[str, bool]]:
    """The selected names, and at most MAX_LISTED_MODELS others that contain all words of a text.

    With each, whether it is selected.
    """
    if len(names) <= MAX_LISTED_MODELS:
        return [(name, name in selected) for name in names]
    words = text.lower().split()
    matching = (
        name
        for name in names
        if name not in selected and all(word in name.lower() for word in words)
    )
    known_names = set(names)
    return [
        *((name, True) for name in selected if name in known_names),
        *((name, False) for name in islice(matching, MAX_LISTED_MODELS)),
    ]


def _initial_values(definition: Definition) -> Json:
    document = render_definition(definition)
    return {
        "repeat": definition.repeat,
        "concurrency": definition.concurrency,
        "pass_rate": definition.pass_rate,
        **{k: v for k, v in document.items() if k not in {"assert", "cases"}},
    }


def _form_error(form: forms.Form, problem: Problem) -> tuple[str | None, str]:
    """The form's field of a problem, None for the whole form, and the text to show there."""
    field = problem.field if problem.field in form.fields else None
    return field, _as_sentence(problem.reason if field else problem)


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


class AssertionForm(forms.Form):
    """One assertion. `provider` is kept from an imported file."""

    negated = forms.BooleanField(label=_("Not"), required=False)
    type = forms.ChoiceField(label=_("Type"), required=False)
    value = forms.CharField(
        label=_("Value"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 1, **CODE_INPUT}),
    )
    threshold = forms.FloatField(
        label=_("Threshold"), required=False, widget=forms.NumberInput(attrs={"step": "any"})
    )
    weight = forms.FloatField(
        label=_("Weight"),
        required=False,
        min_value=0,
        widget=forms.NumberInput(attrs={"step": "any", "placeholder": "1"}),
    )
    provider = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["type"]
        field.choices = [("", _("None")), *((name, ASSERTION_LABELS[name]) for name in TYPES)]

    def document(self) -> Json | None:
        """The assertion as in a file; None for an empty row."""
        data = self.cleaned_data
        if not data.get("type"):
            return None
        prefix = "not-" if data["negated"] else ""
        document: Json = {"type": prefix + data["type"], "value": _typed_value(data)}
        for name in ("threshold", "weight", "provider"):
            if data.get(name) not in (None, ""):
                document[name] = data[name]
        return document

    def clean(self) -> Json:
        """Check the complete assertion."""
        data: Json = super().clean() or {}
        if not data.get("type") or self.errors:
            return data
        self.cleaned_data = data
        try:
            parse_assertion(self.document())
        except InvalidAssertion as invalid:
            self.add_error(invalid.field, _as_sentence(str(invalid)))
            return data
        try:
            _check_storable(_typed_value(data), data["value"], 3)
        except forms.ValidationError as error:
            self.add_error("value", error)
        return data


# Types whose value is an object or a list, written as JSON.
_JSON_TYPES = frozenset({"is-json", "contains-json", "json-schema", "json-path", "tool-call"})


def _typed_value(data: Json) -> Any:
    """The value: JSON for types that need an object, else text."""
    text = data["value"]
    if data["type"] in {"latency", "cost"}:
        return None
    if data["type"] in _JSON_TYPES or text.startswith("{"):
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return text.strip()
    return text


def assertion_initial(assertion: Assertion) -> Json:
    """Initial values of the form for an assertion."""
    value = assertion.value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if value is not None and not isinstance(value, str):
        value = msgspec.json.encode(value).decode()
    return {
        "negated": assertion.negated,
        "type": assertion.type,
        "value": value or "",
        "threshold": assertion.threshold,
        "weight": None if assertion.weight == 1.0 else assertion.weight,
        "provider": assertion.provider,
    }


_AssertionFormSet: Any = forms.formset_factory(
    AssertionForm, extra=1, max_num=spec.MAX_ASSERTIONS, absolute_max=spec.MAX_ASSERTIONS
)


def assertion_formset(data: Any, assertions: tuple[Assertion, ...]) -> Any:
    """Rows for these assertions and an empty one."""
    return _AssertionFormSet(
        data, initial=[assertion_initial(item) for item in assertions], prefix="assert"
    )


def assertion_documents(formset: Any) -> list[Json] | None:
    """The assertions as in a file; None after errors, which the rows show."""
    if not formset.is_valid():
        return None
    documents = (form.document() for form in formset.forms)
    return [document for document in documents if document is not None]


class CasesForm(forms.Form):
    """Cases from pasted text or a file."""

    text = forms.CharField(
        label=_("Cases"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, **CODE_INPUT}),
        help_text=_(
            "One case per line fills the variable {{input}}. CSV has variables in the first "
            "line, JSON lines have an object per case."
        ),
    )
    format = forms.ChoiceField(label=_("Format"), required=False)
    file = forms.FileField(label=_("File"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["format"]
        field.choices = [("", _("Detect")), *((name, FORMAT_LABELS[name]) for name in FORMATS)]

    def read(self) -> tuple[Case, ...] | None:
        """The cases; None after errors, which the form shows."""
        if not self.is_valid():
            return None
        upload, text = self.cleaned_data["file"], self.cleaned_data["text"]
        field = "text" if upload is None else "file"
        try:
            if upload is not None:
                text = read_upload(upload)
                cases = load_file(upload.name, text).cases
            else:
                cases = parse_case_text(text, self.cleaned_data["format"])
            _check_storable([render_case(case) for case in cases], text, 1)
        except InvalidDefinition as invalid:
            self.add_error(field, "; ".join(invalid.errors))
            return None
        except forms.ValidationError as error:
            self.add_error(field, error)
            return None
        return cases


def read_upload(upload: Any) -> str:
    """The text of an uploaded file. Raises InvalidDefinition."""
    if upload.size > MAX_FILE_BYTES:
        raise InvalidDefinition(f"the file is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")
    try:
        text: str = upload.read().decode()
    except UnicodeDecodeError:
        raise InvalidDefinition("the file is not UTF-8 text") from None
    return text


class ImportForm(forms.Form):
    """An evaluation file."""

    file = forms.FileField(
        label=_("File"),
        help_text=_("YAML (including promptfoo files), JSON, CSV, JSON lines or text."),
    )

    def read(self) -> Definition | None:
        """The evaluation; None after errors, which the form shows."""
        if not self.is_valid():
            return None
        upload = self.cleaned_data["file"]
        try:
            text = read_upload(upload)
            definition = load_file(upload.name, text)
            _check_storable(render_definition(definition), text, 0)
        except InvalidDefinition as invalid:
            for message in invalid.errors:
                self.add_error("file", message)
            return None
        except forms.ValidationError as error:
            self.add_error("file", error)
            return None
        return definition


class CaseForm(ValuesLock, forms.Form):
    """One case: name, variables, messages and threshold.

    Its page addresses it by position, so the lock also finds a case that another one replaced.
    """

    name = forms.CharField(label=_("Name"), required=False, max_length=spec.MAX_NAME)
    vars = JsonField(label=_("Variables"))
    messages = JsonField(
        label=_("Messages"),
        help_text=_("Messages of a logged request, sent unchanged instead of the prompt."),
    )
    threshold = _threshold_field()

    def __init__(self, data: Any, *, case: Case) -> None:
        self.locked_values = case
        initial = {
            "name": case.name,
            "vars": case.variables or None,
            "messages": [*case.messages] or None,
            "threshold": case.threshold,
        }
        super().__init__(data, initial=initial)

    def read(self, assertions: list[Json]) -> Case | None:
        """The case; None after errors, which the form shows."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        values = {name: data[name] for name in ("name", "messages", "threshold")}
        document = {**values, "vars": data["vars"] or {}, "assert": assertions}
        try:
            return parse_cases([document])[0]
        except InvalidDefinition as invalid:
            for message in invalid.errors:
                self.add_error(*_form_error(self, message))
            return None

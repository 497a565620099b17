"""A type of a vendor's package as a validator that takes nothing but what the type names.

The packages read leniently: models keep extra keys, enumerations take unknown words, lists are checked only when
somebody iterates. So the schema that pydantic made of a type is rewritten before it is used:

- a key that is not named is an error, at every depth, in models and in typed dictionaries;
- types are not converted (pydantic's strict mode), and only the listed words of an enumeration are taken;
- a variant of a union that stands for "something newer than this package" is taken out;
- iterables are checked as lists, at once.

`extensions` names what is documented elsewhere and missing in the package: {class: {field: type}}.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

# Keys of a schema that hold no schema for validation.
LEFT_ALONE = {"cls", "serialization", "metadata", "config", "default", "function", "expected", "ref", "schema_ref"}


class Refused(Exception):
    """What a type does not take: a line for each place."""


class Strict:
    """Validates JSON against one type; `extensions` as in the head of this module."""

    def __init__(self, type_: Any, extensions: dict[str, dict[str, Any]] | None = None):
        self._extensions = extensions or {}
        self._used: set[str] = set()
        # Of a list, since the schema of a model alone may be put off until it is used.
        schema = TypeAdapter(list[type_]).core_schema
        self._definitions = {}
        if schema["type"] == "definitions":
            self._definitions = {definition["ref"]: definition for definition in schema["definitions"]}
            schema = {**schema, "schema": schema["schema"]["items_schema"]}
        else:
            schema = schema["items_schema"]
        self._validator = SchemaValidator(self._rewritten(schema))
        unknown = set(self._extensions) - self._used
        if unknown:
            missing = ", ".join(sorted(unknown))
            raise LookupError(f"{type_} has no class {missing}: the table of extensions is out of date")

    def check(self, value: Any) -> None:
        """Raises `Refused` unless the value, as JSON, is one of the type."""
        self.check_json(json.dumps(value))

    def check_json(self, text: str | bytes) -> None:
        try:
            self._validator.validate_json(text, strict=True)
        except ValidationError as error:
            raise Refused("\n".join(lines(error))) from None
        except ValueError as error:  # openrouter's own, for a missing `role` or `type`.
            raise Refused(str(error)) from None

    def _rewritten(self, schema: Any) -> Any:
        if isinstance(schema, list | tuple):
            return type(schema)(self._rewritten(item) for item in schema)
        if not isinstance(schema, dict):
            return schema
        kind = schema.get("type")
        if kind == "function-before" and self._is_open_union(schema["schema"]):
            return self._rewritten(schema["schema"])
        if kind == "model":
            return self._model(schema)
        new = {key: value if key in LEFT_ALONE else self._rewritten(value) for key, value in schema.items()}
        if kind == "generator":
            new["type"] = "list"
        elif kind == "union":
            known = [choice for choice in schema["choices"] if not self._is_open(choice)]
            new["choices"] = [(self._rewritten(choice), self._label(choice)) for choice in known]
        elif kind == "typed-dict":
            new["fields"] = self._fields(schema["cls"], schema["fields"], kind)
            new["extra_behavior"] = "forbid"
            new["config"] = {**schema.get("config", {}), "extra_fields_behavior": "forbid"}
        return new

    def _model(self, schema: dict[str, Any]) -> Any:
        """The fields alone: a whole model would be checked by the lenient validator that its class has already."""
        fields = schema["schema"]
        while fields["type"] != "model-fields":
            fields = fields["schema"]
        new = {
            "type": "model-fields",
            "model_name": schema["cls"].__name__,
            "fields": self._fields(schema["cls"], fields["fields"], "model"),
            "extra_behavior": "forbid",
        }
        return new | {key: schema[key] for key in ("ref",) if key in schema}

    def _fields(self, cls: type, fields: dict[str, Any], kind: str) -> dict[str, Any]:
        new = {name: self._rewritten(field) for name, field in fields.items()}
        for name, type_ in self._extensions.get(cls.__name__, {}).items():
            self._used.add(cls.__name__)
            if name in new:
                raise LookupError(f"{cls.__name__} has {name} now: take it out of the table of extensions")
            field = TypeAdapter(type_).core_schema
            if kind == "model":
                field = {"type": "default", "schema": field, "default": None}
                new[name] = {"type": "model-field", "schema": field}
            else:
                new[name] = {"type": "typed-dict-field", "schema": field, "required": False}
        return new

    def _is_open_union(self, schema: dict[str, Any]) -> bool:
        return schema["type"] == "union" and any(self._is_open(choice) for choice in schema["choices"])

    def _resolved(self, choice: Any) -> Any:
        choice = choice[0] if isinstance(choice, tuple) else choice
        return self._definitions[choice["schema_ref"]] if choice["type"] == "definition-ref" else choice

    def _is_open(self, choice: Any) -> bool:
        """Whether this variant of a union stands for what the package does not know, or for nothing."""
        choice = self._resolved(choice)
        if choice["type"] == "lax-or-strict":
            return choice["strict_schema"]["type"] == "none"
        return choice["type"] == "model" and choice["cls"].__name__.startswith(("Unknown", "Unset"))

    def _label(self, choice: Any) -> str:
        choice = self._resolved(choice)
        return choice["cls"].__name__ if "cls" in choice else choice["type"]


def lines(error: ValidationError) -> list[str]:
    """What is wrong and where, leaving out the variants of a union that were not meant."""
    errors = error.errors(include_url=False, include_context=False)
    # Another kind of object, or a scalar where the error lies deeper in an object.
    others = {e["loc"][:-1] for e in errors if e["type"] == "literal_error" and e["loc"][-1] in ("type", "role")}
    for e in errors:
        place = e["loc"][:-1]
        scalar = e["type"] in ("string_type", "none_required", "literal_error") and not isinstance(e["input"], str)
        if scalar and any(len(o["loc"]) > len(e["loc"]) and o["loc"][: len(place)] == place for o in errors):
            others.add(e["loc"])
    meant = [e for e in errors if not any(e["loc"][: len(place)] == place for place in others)]
    found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (seen: {brief(e['input'])})" for e in meant or errors]
    return found[:8] + ([f"... and {len(found) - 8} more"] if len(found) > 8 else [])


def brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:117] + "..."

"""How does a mapping become settings, with every mistake told in one line: path, source, nearest valid key?"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from vctrain.config.components.refused import REFUSED
from vctrain.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)


def check(model: type[Model], content: Mapping[str, Any], source_of: Callable[[str], str]) -> Model:
    """``content`` as a ``model``.

    ``source_of(dotted path)`` says where a value came from ("my.yaml", "--set"). Raises UsageError for the first
    unknown key, or else the first wrong value, by its dotted path without the tags of unions.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        problems = error.errors(include_url=False)
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first: Mapping[str, Any] = (unknown or problems)[0]
    raise _usage_error(model, content, first, source_of) from None


def setting_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all settings of ``model``, of every member of its unions too; list items are not entered."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for member in members(field.annotation):
            yield from setting_paths(member, f"{prefix}{name}.")


def members(annotation: Any) -> list[type[BaseModel]]:
    """The settings models that ``annotation`` allows directly: itself, or the members of its union."""
    if hasattr(annotation, "__metadata__"):
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for option in get_args(annotation) for model in members(option)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _usage_error(
    model: type[BaseModel], content: Mapping[str, Any], problem: Mapping[str, Any], source_of: Callable[[str], str]
) -> UsageError:
    path, owners, siblings = _locate(model, problem["loc"])
    dotted = ".".join(path)
    source = source_of(dotted)
    shown = source if source.startswith("--") and source != "--set" else dotted
    where = f" in {source}" if source and shown == dotted else ""
    if problem["type"] == "extra_forbidden":
        hint = _nearest_key(model, path, owners, siblings, _type_at(content, path[:-1]))
        return UsageError(f"unknown key {dotted}{where}", hint=hint)
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        valid = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
        refused = REFUSED.get((path[-1], str(context["tag"])))
        return UsageError(
            f"{dotted}.type{where}: no {path[-1]} {context['tag']!r}", hint=refused or _nearest(context["tag"], valid)
        )
    if problem["type"] in ("union_tag_not_found", "missing"):
        missing = dotted if problem["type"] == "missing" else f"{dotted}.type"
        return UsageError(f"{missing} is missing{where}", hint=f"set {missing}")
    value = problem["input"]
    if problem["type"] == "literal_error":
        valid = [option.strip("'") for option in str(problem["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        hint = REFUSED.get((path[-1], str(value))) or _nearest(str(value), valid)
        return UsageError(f"{shown}{where}: {value!r} is not a choice", hint=hint)
    if isinstance(value, Mapping) and problem["type"] != "value_error":
        return UsageError(
            f"{shown}{where} is one value, not a mapping", hint=f"write {dotted}=VALUE, or {dotted}: VALUE"
        )
    if problem["type"] in ("tuple_type", "list_type"):
        return UsageError(f"{shown}{where}: {value!r} is not a list", hint=f"write [{'' if value is None else value}]")
    if problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return UsageError(
            f"{shown}{where}: {value!r} is not a mapping of keys to values", hint=_keys_hint(owners, dotted)
        )
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return UsageError(f"{shown}{where} {message} (got {value!r})", hint=f"correct {shown}")


def _locate(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[str], list[type[BaseModel]], list[type[BaseModel]]]:
    """``location`` of pydantic without tags, the models whose key its last part is, and all members of their union."""
    path: list[str] = []
    owners: list[type[BaseModel]] = [model]
    siblings = owners
    tagged = False
    annotation: Any = model
    for index, step in enumerate(location):
        last = index == len(location) - 1
        if tagged:
            owners = [owner for owner in owners if step in _tags(owner)] or owners
            tagged = False
            continue
        path.append(str(step))
        if last:
            break
        field = next((owner.model_fields[str(step)] for owner in owners if str(step) in owner.model_fields), None)
        annotation = field.annotation if field is not None else _item(annotation)
        owners = siblings = members(annotation)
        tagged = field is not None and field.discriminator is not None
    return path, owners, siblings


def _item(annotation: Any) -> Any:
    """What a list or tuple annotation holds."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((_item(option) for option in get_args(annotation) if get_args(option)), None)
    return next((part for part in get_args(annotation) if part is not Ellipsis), None)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """The types that ``model`` has the settings of."""
    field: FieldInfo | None = model.model_fields.get("type") or model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _type_at(content: Mapping[str, Any], path: list[str]) -> object:
    here: Any = content
    for step in path:
        here = here[int(step)] if isinstance(here, list | tuple) else here[step]
    return here.get("type") if isinstance(here, Mapping) else None


def _nearest_key(
    root: type[BaseModel], path: list[str], owners: list[type[BaseModel]], siblings: list[type[BaseModel]], kind: object
) -> str:
    """What the unknown key ``path`` may have meant: a sibling, a key of another type, or a key elsewhere."""
    wrong, above = path[-1], ".".join(path[:-1])
    prefix = f"{above}." if above else ""
    valid = [name for owner in owners for name in owner.model_fields]
    others = [
        str(tag)
        for member in siblings
        if wrong in member.model_fields and member not in owners
        for tag in _tags(member)
    ]
    if others:
        return f"{wrong} belongs to type {' or '.join(others)}, and {above}.type is {kind}"
    close = difflib.get_close_matches(wrong, valid, n=1)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    everywhere = list(dict.fromkeys(setting_paths(root)))
    elsewhere = [candidate for candidate in everywhere if candidate.rpartition(".")[2] == wrong]
    elsewhere = elsewhere or difflib.get_close_matches(".".join(path), everywhere, n=1)
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    return f"valid here: {', '.join(valid)}"


def _keys_hint(owners: list[type[BaseModel]], dotted: str) -> str:
    valid = [name for owner in owners for name in owner.model_fields if name == dotted.rpartition(".")[2]]
    return f"indent the settings of {dotted} below it, or leave {dotted} out" if valid else "write key: value"


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {close[0]}?" if close else f"valid: {', '.join(valid)}"

"""What sections of the policy file are made of: strict maps, described keys, and the commonest kinds of value."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from proxy.policy import words
from proxy.policy.model import Network
from proxy.policy.spelling import flag, text, word_for


class Section(BaseModel):
    """A map with these keys and no others, but for one whose ``members`` are named by whoever writes the file."""

    members: ClassVar[Any] = None  # what every other key holds

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


def key(description: str, default: Any = ..., *, alias: str | None = None, secret: bool = False) -> Any:
    """One key of a section; ``default`` as it would be written in the file, none for a key that must be given."""
    return Field(default, description=description, alias=alias, validate_default=default is not None, repr=not secret)


def section(model: type[Section], description: str) -> Any:
    """A key that holds a section all of whose keys have defaults."""
    return Field(default_factory=model, description=description)


Flag = Annotated[bool, flag()]
Name = Annotated[str, text("a name")]
Text = Annotated[str, text()]
Secret = Annotated[str, words.SECRET]
# Where leaving a key out means "all", an empty list is refused by the compiler (``Findings.check_filled``), but for
# `ip.allow`, which stands empty beside `deny`. Elsewhere an empty list is what it says: nobody, nothing, nowhere.
Networks = list[Annotated[Network, words.NETWORK]]
FieldName = Annotated[str, words.FIELD_NAME]
Tenants = Annotated[list[Text], word_for("any", ["*"])]

"""All dialects by the name that a policy writes."""

from typing import Final

from proxy.ai.dialects.anthropic import ANTHROPIC
from proxy.ai.dialects.azure import AZURE
from proxy.ai.dialects.gemini import GEMINI
from proxy.ai.dialects.groq import GROQ
from proxy.ai.dialects.mistral import MISTRAL
from proxy.ai.dialects.openai import OPENAI
from proxy.ai.dialects.table import Dialect

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect for dialect in (OPENAI, AZURE, ANTHROPIC, GEMINI, GROQ, MISTRAL)
}

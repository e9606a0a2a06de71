"""An agent with tools. Each turn may use another model: the gateway translates the history.

Usage: agent.py "QUESTION" MODEL [MODEL ...]; the models take turns.
"""

import ast
import json
import operator
import os
import sys
from typing import Any

from openai import OpenAI

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "calculate",
            "description": "Evaluate an arithmetic expression",
            "parameters": {
                "type": "object",
                "properties": {"expression": {"type": "string"}},
                "required": ["expression"],
            },
        },
    }
]
MAX_TURNS = 8


def calculate(expression: str) -> str:
    """The value of an expression of numbers and + - * /."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise ValueError("only numbers and + - * /")

    try:
        return str(value(ast.parse(expression, mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        return f"error: {error}"


def run(client: OpenAI, question: str, models: list[str]) -> str:
    """The answer, after as many tool calls as the models make."""
    messages: list[Any] = [{"role": "user", "content": question}]
    for turn in range(MAX_TURNS):
        model = models[turn % len(models)]
        answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            if call.type == "function":
                result = calculate(**json.loads(call.function.arguments))
                print(f"{model}: {call.function.name}({call.function.arguments}) = {result}")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return "no answer"


def main() -> None:
    """Answer the question of the command line."""
    question = sys.argv[1] if len(sys.argv) > 1 else 'Use the tool to calculate "6 * 7".'
    models = sys.argv[2:] or [os.environ.get("MODEL", "demo")]
    base_url = os.environ.get("DRAGOMAN_BASE_URL", "http://localhost:4000")
    with OpenAI(base_url=f"{base_url}/v1", api_key=os.environ["DRAGOMAN_API_KEY"]) as client:
        print(run(client, question, models))


if __name__ == "__main__":
    main()

"""Train a pose model: `accelerate launch training/run.py [RECIPE.yaml] [--field value ...]`.

Without arguments: fine-tunes the shipped tiny checkpoint on generated people, evaluates it, and writes a folder that is
ready for the Hub. `--help` lists the fields.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from vitpose.base.machine import usable_cores
from vitpose.hub_cards.cards.card import write_model_card
from vitpose.hub_cards.cards.pretraining_card import write_pretraining_card
from vitpose.training.config.parsing import parse_recipe
from vitpose.training.engine.preemption import PreemptedError
from vitpose.training.engine.trainer import NonFiniteLossError
from vitpose.training.results.run_words import command_words
from vitpose.training.session import run_recipe

INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended
SECONDS_TO_BE_ENDED = 5
CARD_WRITERS: dict[str, Callable[..., Path]] = {
    "pose": write_model_card,
    "knowledge_token": write_model_card,
    "masked_image_modeling": write_pretraining_card,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a recipe; a mistake of the user ends with its message and status 2, without a traceback.

    A run that SIGTERM or one Ctrl-C ends saves itself, says how to go on, and has status 0.
    """
    _set_up_terminal()
    _use_all_cores()
    try:
        recipe = parse_recipe(arguments)
        run_recipe(recipe, write_card=CARD_WRITERS[recipe.run.task])
    except (ValueError, OSError, ImportError, NonFiniteLossError) as error:
        _tell_mistake(_message(error))
        return 2
    except PreemptedError as preemption:
        if _rank() == 0:
            sys.stderr.write(f"{preemption}\nGo on with: {command_words()} --resume\n")
    except KeyboardInterrupt:
        if _rank() == 0:
            sys.stderr.write("Interrupted.\n")
        return INTERRUPTED
    return 0


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _tell_mistake(message: str) -> None:
    """Write a mistake once: one that all processes meet, the first tells, at whose end the launcher ends the others."""
    if _rank() > 0:
        time.sleep(SECONDS_TO_BE_ENDED)
    sys.stderr.write(f"error: {message}\n")


def _set_up_terminal() -> None:
    """Show what this run says, from one process of several, and of the libraries only their warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vitpose").setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    disable_progress_bar()  # of reading and writing weights: the bars left are those of epochs and evaluations


def _use_all_cores() -> None:
    """Share the CPU cores among the processes of this machine: `accelerate launch` leaves each a single thread."""
    if not torch.cuda.is_available() and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, usable_cores() // processes))


def _message(error: Exception) -> str:
    """The error's message in one line: the error of a data-loader worker arrives as the text of its traceback."""
    return str(error).strip().rsplit(f"{type(error).__name__}: ", maxsplit=1)[-1]


if __name__ == "__main__":
    sys.exit(main())

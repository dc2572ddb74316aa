"""The functions of a registry as flat arrays, ready to be inlined without touching Python."""

import numpy as np

from nssr import primitives
from nssr.engine.candidates import CONST_MODES


cdef class FunctionTable:
    """The functions of a registry state as flat arrays, closed: everything that a program may call.

    ``arity`` (int32) and ``commutative`` (bool) are indexed by function id; a missing id has arity -2.
    """

    def __init__(self, metadata, compositions=()):
        """``metadata``: {id: registry metadata}; ``compositions``: extra (composition, arity, constants, const_mode)."""
        entries = dict(metadata)
        top = max(entries, default=-1) + 1
        for i, (composition, arity, constants, mode) in enumerate(compositions):
            entries[top + i] = {
                "arity": arity, "composition": composition, "constants": constants, "const_mode": mode, "opcode": None,
            }
        n = max(entries, default=-1) + 1
        self.n_functions = n
        self.opcode = np.full(n, KIND_MISSING, dtype=np.int32)
        self.arity = np.full(n, -2, dtype=np.int32)
        self.commutative = np.zeros(n, dtype=np.uint8)
        self._step_start = np.zeros(n, dtype=np.int32)
        self._step_count = np.zeros(n, dtype=np.int32)
        self._mode = np.zeros(n, dtype=np.int32)
        self._k = np.zeros(n, dtype=np.float64)
        self._k2 = np.zeros(n, dtype=np.float64)
        child, arg_start, arg_count, args = [], [], [], []
        for i, entry in entries.items():
            self.arity[i] = entry["arity"]
            if entry.get("composition") is None:
                self.opcode[i] = entry["opcode"]
                primitive = primitives.BY_OPCODE[entry["opcode"]]
                # MIN and MAX keep their first operand where the other is NaN: exchanged they may differ.
                self.commutative[i] = primitive.commutative and primitive.rule != primitives.EXTREMUM
                continue
            self.opcode[i] = KIND_LEARNED
            self._step_start[i] = len(child)
            self._step_count[i] = len(entry["composition"])
            for step_child, step_args in entry["composition"]:
                child.append(step_child)
                arg_start.append(len(args))
                arg_count.append(len(step_args))
                args.extend(step_args)
            if entry.get("constants"):
                self._mode[i] = CONST_MODES.index(entry.get("const_mode") or "multiplicative")
                self._k[i] = entry["constants"][0]
                self._k2[i] = entry["constants"][1] if len(entry["constants"]) > 1 else 0.0
        self._child = np.array(child or [0], dtype=np.int32)
        self._arg_start = np.array(arg_start or [0], dtype=np.int32)
        self._arg_count = np.array(arg_count or [0], dtype=np.int32)
        self._args = np.array(args or [0], dtype=np.int32)
        self.v_opcode, self.v_arity = self.opcode, self.arity
        self.v_step_start, self.v_step_count, self.v_mode = self._step_start, self._step_count, self._mode
        self.v_child, self.v_arg_start, self.v_arg_count, self.v_args = self._child, self._arg_start, self._arg_count, self._args
        self.v_k, self.v_k2 = self._k, self._k2

"""Types of arrays with their shapes: jaxtyping's; where that is not installed, stand-ins that check nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Float32 as Float32
    from jaxtyping import Float64 as Float64
    from jaxtyping import Int8 as Int8
    from jaxtyping import Int16 as Int16
    from jaxtyping import Int32 as Int32
    from jaxtyping import Int64 as Int64
    from jaxtyping import Integer as Integer
    from jaxtyping import Real as Real
    from jaxtyping import Shaped as Shaped
    from jaxtyping import UInt8 as UInt8
    from jaxtyping import UInt16 as UInt16
else:
    try:
        from jaxtyping import (
            Bool,
            Float,
            Float32,
            Float64,
            Int8,
            Int16,
            Int32,
            Int64,
            Integer,
            Real,
            Shaped,
            UInt8,
            UInt16,
        )
    except ModuleNotFoundError:

        class Shaped:
            """Stand for any array type; subscripts are accepted and mean nothing."""

            def __class_getitem__(cls, described: tuple[Any, str]) -> Any:
                return described[0]

        Bool = Float = Float32 = Float64 = Int8 = Int16 = Int32 = Int64 = Integer = Real = UInt8 = UInt16 = Shaped

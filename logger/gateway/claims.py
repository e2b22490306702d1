"""Which configured gateway a serial number is: two names for one gateway would count all of its energy twice."""

from logger.errors import GatewayReplacedError


class Claims:
    """The serials that the gateways of one configuration have answered with; shared by all of them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def take(self, serial: str, name: str) -> None:
        """Keep that a gateway is known by a name; the first name that took it has it.

        Raises:
            GatewayReplacedError: it goes by another name already.
        """
        if (first := self._names.setdefault(serial, name)) != name:
            raise GatewayReplacedError(
                f"{first!r} and {name!r} are one gateway (serial {serial}); remove {name!r} from the configuration, or "
                "correct its host."
            )

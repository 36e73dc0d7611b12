"""The component's exports: what plugin.toml lists, around the author's module."""

import plugin
from sluicegate import _contract
# <request>
from wit_world.exports import request
# </request>
# <response>
from wit_world.exports import response
# </response>

plans = {}
# <request>
plans["request"] = request.Plan
# </request>
# <response>
plans["response"] = response.Plan
# </response>
globals().update(_contract.classes(plugin, "{{name}}", [{{exports}}], plans))

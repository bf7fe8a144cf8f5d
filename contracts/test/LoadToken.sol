// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// What `baton bench evm` sends: a usual token, whose owner gives it away at the beginning.
contract LoadToken is ERC20("Load", "LOAD") {
    address private immutable owner = msg.sender;

    function give(address[] calldata holders) external {
        require(msg.sender == owner, "only the owner");
        for (uint256 i = 0; i < holders.length; i++) {
            _mint(holders[i], 1_000_000 ether);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// What the scripts deploy: state, an event, a custom error, a reason and a panic.
contract Counter {
    event Increased(address indexed by, uint256 amount, uint256 total);

    error TooLarge(uint256 amount, uint256 most);

    uint256 public total;
    mapping(address => uint256) public by;

    constructor(uint256 start) {
        total = start;
    }

    function increase(uint256 amount) external payable returns (uint256) {
        require(amount > 0, "nothing to add");
        if (amount > 1000) revert TooLarge(amount, 1000);
        total += amount;
        by[msg.sender] += amount;
        emit Increased(msg.sender, amount, total);
        return total;
    }

    function quotient(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }
}

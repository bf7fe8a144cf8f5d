// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISequencingPolicy} from "./ISequencingPolicy.sol";

/// @title Anyone may post; the certificate alone decides
contract OpenPolicy is ISequencingPolicy {
    /// @inheritdoc ISequencingPolicy
    function isAllowed(uint32, uint64, address) external pure returns (bool) {
        return true;
    }
}

/// @title One address may post
contract SinglePolicy is ISequencingPolicy {
    /// @notice The address that may post.
    address public immutable sequencer;

    /// @param sequencer_ The address that may post
    constructor(address sequencer_) {
        sequencer = sequencer_;
    }

    /// @inheritdoc ISequencingPolicy
    function isAllowed(uint32, uint64, address sender) external view returns (bool) {
        return sender == sequencer;
    }
}

/// @title The members of a cluster may post; the list never changes, a new one is a new policy
contract ClusterPolicy is ISequencingPolicy {
    /// @notice Whether an address may post.
    mapping(address member => bool) public isMember;

    /// @param members The addresses that may post
    constructor(address[] memory members) {
        for (uint256 i; i < members.length; ++i) {
            isMember[members[i]] = true;
        }
    }

    /// @inheritdoc ISequencingPolicy
    function isAllowed(uint32, uint64, address sender) external view returns (bool) {
        return isMember[sender];
    }
}

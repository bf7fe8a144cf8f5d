// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Who may post the batches of a rollup
interface ISequencingPolicy {
    /// @notice Whether `sequencer` may post for `slot`. Must answer the same for a past slot whenever it is asked.
    /// @param rollup Number of the rollup
    /// @param slot Slot of the batch's blocks
    /// @param sequencer Sender of the transaction
    /// @return Whether it may
    function isAllowed(uint32 rollup, uint64 slot, address sequencer) external view returns (bool);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Transactions that the cluster must take, as an append-only hash chain
/// @notice An entry is expired when the time is past its deadline. Deadlines never decrease.
contract ForcedQueue {
    /// @notice Rollup of the entries.
    uint32 public immutable rollup;
    /// @notice Seconds from an entry to its deadline.
    uint64 public immutable window;
    /// @notice Most bytes of an entry.
    uint32 public immutable entryBytesMax;
    /// @notice Most gas of an entry.
    uint64 public immutable entryGasMax;
    /// @notice Most bytes of all entries of one L1 block.
    uint32 public immutable blockBytesMax;
    /// @notice Most gas of all entries of one L1 block.
    uint64 public immutable blockGasMax;

    /// @notice Number of entries.
    uint64 public length;
    uint64 internal _blockNumber;
    uint32 internal _blockBytes;
    uint64 internal _blockGas;
    /// @notice Hash of the chain up to and including an entry.
    mapping(uint64 index => bytes32) public hashOf;
    /// @notice Deadline of an entry.
    mapping(uint64 index => uint64) public deadlineOf;

    /// @notice An entry was added.
    event Forced(uint64 indexed index, address indexed sender, uint64 deadline, uint64 gas, bytes data, bytes32 hash);

    /// @notice The entry is larger than allowed.
    error EntryTooLarge(uint256 size, uint32 max);
    /// @notice The entry may use more gas than allowed.
    error EntryTooCostly(uint64 gas, uint64 max);
    /// @notice This L1 block takes no more; try the next one.
    error BlockFull(uint256 size, uint256 gas);

    /// @param rollup_ Rollup of the entries
    /// @param window_ Seconds to an entry's deadline
    /// @param entryBytesMax_ Most bytes of an entry
    /// @param entryGasMax_ Most gas of an entry
    /// @param blockBytesMax_ Most bytes per L1 block
    /// @param blockGasMax_ Most gas per L1 block
    constructor(
        uint32 rollup_,
        uint64 window_,
        uint32 entryBytesMax_,
        uint64 entryGasMax_,
        uint32 blockBytesMax_,
        uint64 blockGasMax_
    ) {
        rollup = rollup_;
        window = window_;
        entryBytesMax = entryBytesMax_;
        entryGasMax = entryGasMax_;
        blockBytesMax = blockBytesMax_;
        blockGasMax = blockGasMax_;
    }

    /// @notice Adds an entry.
    /// @param gas Most gas that it may use on the rollup
    /// @param data The transaction
    /// @return index Number of the entry
    function force(uint64 gas, bytes calldata data) external returns (uint64 index) {
        if (data.length > entryBytesMax) revert EntryTooLarge(data.length, entryBytesMax);
        if (gas > entryGasMax) revert EntryTooCostly(gas, entryGasMax);
        if (_blockNumber != block.number) {
            _blockNumber = uint64(block.number);
            _blockBytes = 0;
            _blockGas = 0;
        }
        uint256 size = _blockBytes + data.length;
        uint256 total = uint256(_blockGas) + gas;
        if (size > blockBytesMax || total > blockGasMax) revert BlockFull(size, total);
        _blockBytes = uint32(size);
        _blockGas = uint64(total);

        index = length++;
        uint64 deadline = uint64(block.timestamp) + window;
        bytes32 previous = index == 0 ? bytes32(0) : hashOf[index - 1];
        bytes32 hash = sha256(
            abi.encodePacked("_BATON_L1_FORCED", previous, rollup, index, msg.sender, deadline, gas, sha256(data))
        );
        hashOf[index] = hash;
        deadlineOf[index] = deadline;
        emit Forced(index, msg.sender, deadline, gas, data, hash);
    }

    /// @notice Whether an entry exists and is past its deadline.
    /// @param index Number of the entry
    /// @return Whether it is
    function expired(uint64 index) external view returns (bool) {
        return index < length && block.timestamp > deadlineOf[index];
    }
}

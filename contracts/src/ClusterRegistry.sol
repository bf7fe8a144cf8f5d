// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {BlsMinSig} from "./BlsMinSig.sol";
import {Messages} from "./Messages.sol";

/// @notice A key to be put in force.
/// @param key The 256 bytes of the key
/// @param fromHeight First block that it signs for
/// @param members Hash of the member set
struct NextKey {
    bytes key;
    uint64 fromHeight;
    bytes32 members;
}

/// @title Keys of clusters, one generation after the other
/// @notice A rotation takes the key in force, possession of the new one and a delay in which the owner may veto.
/// A key that the owner calls compromised signs nothing any more; then the owner alone names the next one.
contract ClusterRegistry is Ownable2Step {
    /// @notice One key of a cluster.
    /// @param pointer Contract that holds the 256 bytes of the key
    /// @param fromHeight First block that it signs for
    /// @param revoked Whether it was compromised
    /// @param members Hash of the member set
    struct Generation {
        address pointer;
        uint64 fromHeight;
        bool revoked;
        bytes32 members;
    }

    /// @notice A rotation that waits.
    /// @param pointer Contract that holds the key; zero when nothing waits
    /// @param fromHeight First block that it signs for
    /// @param readyAt Time from which it can be put in force
    /// @param members Hash of the member set
    struct Pending {
        address pointer;
        uint64 fromHeight;
        uint64 readyAt;
        bytes32 members;
    }

    /// @notice Seconds between the proposal of a rotation and the earliest moment that it takes force.
    uint64 public immutable rotationDelay;
    /// @notice The generations of each cluster.
    mapping(bytes32 cluster => Generation[]) internal _generations;
    /// @notice The rotation of each cluster that waits.
    mapping(bytes32 cluster => Pending) public pending;
    /// @notice How many rotations were vetoed; part of what is signed, so that none can be proposed again.
    mapping(bytes32 cluster => uint32) public vetoes;

    /// @notice A cluster has its first key.
    event Registered(bytes32 indexed cluster, bytes32 genesis, bytes key, uint64 fromHeight, bytes32 members);
    /// @notice A rotation waits.
    event RotationProposed(
        bytes32 indexed cluster, uint32 generation, bytes key, uint64 fromHeight, bytes32 members, uint64 readyAt
    );
    /// @notice The owner refused the rotation that waited.
    event RotationVetoed(bytes32 indexed cluster, uint32 generation);
    /// @notice A generation is in force.
    event Rotated(bytes32 indexed cluster, uint32 generation, uint64 fromHeight, bytes32 members);
    /// @notice The owner revoked a key.
    event Compromised(bytes32 indexed cluster, uint32 generation);

    /// @notice The key at infinity, under which anything verifies.
    error ZeroKey();
    /// @notice The new key did not sign its registration.
    error BadPossession(bytes32 cluster, uint32 generation);
    /// @notice The key in force did not sign the rotation.
    error BadRotation(bytes32 cluster, uint32 generation);
    /// @notice The cluster is registered.
    error AlreadyRegistered(bytes32 cluster);
    /// @notice There is no such generation.
    error UnknownGeneration(bytes32 cluster, uint32 generation);
    /// @notice The generation's key is compromised.
    error KeyRevoked(bytes32 cluster, uint32 generation);
    /// @notice The newest key is in order; only a compromised one is replaced by the owner.
    error NotCompromised(bytes32 cluster, uint32 generation);
    /// @notice A generation must begin after the one before it.
    error HeightNotAfter(uint64 height, uint64 previous);
    /// @notice The generation does not sign for these blocks.
    error WrongHeights(uint32 generation, uint64 firstHeight, uint64 lastHeight);
    /// @notice A rotation waits already.
    error RotationPending(bytes32 cluster);
    /// @notice No rotation waits.
    error NoRotation(bytes32 cluster);
    /// @notice The rotation still waits.
    error NotReady(uint64 readyAt, uint256 time);

    /// @param owner_ The timelock
    /// @param rotationDelay_ Seconds that a rotation waits
    constructor(address owner_, uint64 rotationDelay_) Ownable(owner_) {
        rotationDelay = rotationDelay_;
    }

    /// @notice Number of a cluster. It depends on the first key, so nobody can take another's.
    /// @param genesis Digest of the genesis
    /// @param key First key
    /// @return The number
    function clusterId(bytes32 genesis, bytes memory key) public pure returns (bytes32) {
        return sha256(bytes.concat(genesis, key));
    }

    /// @notice Encoding that possession and rotation sign, behind a namespace each.
    /// @param cluster The cluster
    /// @param generation Number of the new generation
    /// @param next The new key
    /// @return The encoding
    function encode(bytes32 cluster, uint32 generation, NextKey calldata next)
        public
        view
        returns (bytes memory)
    {
        return bytes.concat(
            abi.encodePacked(uint64(block.chainid), address(this), cluster, generation, vetoes[cluster]),
            abi.encodePacked(next.fromHeight, next.members, next.key)
        );
    }

    /// @notice Registers a cluster by its first key.
    /// @param genesis Digest of the genesis
    /// @param next The key
    /// @param possession The key's signature
    /// @return cluster Number of the cluster
    function register(bytes32 genesis, NextKey calldata next, bytes calldata possession)
        external
        returns (bytes32 cluster)
    {
        cluster = clusterId(genesis, next.key);
        if (_generations[cluster].length != 0) revert AlreadyRegistered(cluster);
        _checkPossession(cluster, 0, next, possession);
        _generations[cluster].push(Generation(SSTORE2.write(next.key), next.fromHeight, false, next.members));
        emit Registered(cluster, genesis, next.key, next.fromHeight, next.members);
    }

    /// @notice Proposes the next key, signed by the one in force and by the new one.
    /// @param cluster The cluster
    /// @param next The new key
    /// @param rotation Signature of the key in force
    /// @param possession Signature of the new key
    function proposeRotation(
        bytes32 cluster,
        NextKey calldata next,
        bytes calldata rotation,
        bytes calldata possession
    ) external {
        uint32 generation = _next(cluster, next.fromHeight);
        Generation storage current = _generations[cluster][generation - 1];
        if (current.revoked) revert KeyRevoked(cluster, generation - 1);
        if (pending[cluster].pointer != address(0)) revert RotationPending(cluster);
        bytes memory signed = Messages.signedRotation(encode(cluster, generation, next));
        if (!BlsMinSig.verify(SSTORE2.read(current.pointer), signed, rotation)) {
            revert BadRotation(cluster, generation);
        }
        _checkPossession(cluster, generation, next, possession);
        uint64 readyAt = uint64(block.timestamp) + rotationDelay;
        pending[cluster] = Pending(SSTORE2.write(next.key), next.fromHeight, readyAt, next.members);
        emit RotationProposed(cluster, generation, next.key, next.fromHeight, next.members, readyAt);
    }

    /// @notice Refuses the rotation that waits.
    /// @param cluster The cluster
    function veto(bytes32 cluster) external onlyOwner {
        if (pending[cluster].pointer == address(0)) revert NoRotation(cluster);
        _drop(cluster);
    }

    /// @notice Puts the rotation in force; anyone may, once it is due.
    /// @param cluster The cluster
    function rotate(bytes32 cluster) external {
        Pending memory p = pending[cluster];
        if (p.pointer == address(0)) revert NoRotation(cluster);
        if (block.timestamp < p.readyAt) revert NotReady(p.readyAt, block.timestamp);
        delete pending[cluster];
        _generations[cluster].push(Generation(p.pointer, p.fromHeight, false, p.members));
        emit Rotated(cluster, uint32(_generations[cluster].length - 1), p.fromHeight, p.members);
    }

    /// @notice Revokes the newest key and drops the rotation that waits.
    /// @param cluster The cluster
    function compromised(bytes32 cluster) external onlyOwner {
        uint32 newest = generations(cluster) - 1;
        _generations[cluster][newest].revoked = true;
        if (pending[cluster].pointer != address(0)) _drop(cluster);
        emit Compromised(cluster, newest);
    }

    /// @notice Names the key after a compromised one. Possession is proven all the same.
    /// @param cluster The cluster
    /// @param next The new key
    /// @param possession Signature of the new key
    function replace(
        bytes32 cluster,
        NextKey calldata next,
        bytes calldata possession
    ) external onlyOwner {
        uint32 generation = _next(cluster, next.fromHeight);
        if (!_generations[cluster][generation - 1].revoked) revert NotCompromised(cluster, generation - 1);
        _checkPossession(cluster, generation, next, possession);
        _generations[cluster].push(Generation(SSTORE2.write(next.key), next.fromHeight, false, next.members));
        emit Rotated(cluster, generation, next.fromHeight, next.members);
    }

    /// @notice How many keys a cluster has had; reverts for a cluster that is not registered.
    /// @param cluster The cluster
    /// @return The number
    function generations(bytes32 cluster) public view returns (uint32) {
        uint256 count = _generations[cluster].length;
        if (count == 0) revert UnknownGeneration(cluster, 0);
        return uint32(count);
    }

    /// @notice The key that signs for all of these blocks.
    /// @param cluster The cluster
    /// @param generation The generation that is said to have signed
    /// @param firstHeight First block
    /// @param lastHeight Last block
    /// @return The 256 bytes of the key
    function keyFor(bytes32 cluster, uint32 generation, uint64 firstHeight, uint64 lastHeight)
        external
        view
        returns (bytes memory)
    {
        Generation[] storage all = _generations[cluster];
        if (generation >= all.length) revert UnknownGeneration(cluster, generation);
        Generation storage g = all[generation];
        if (g.revoked) revert KeyRevoked(cluster, generation);
        bool ended = generation + 1 < all.length && all[generation + 1].fromHeight <= lastHeight;
        if (firstHeight < g.fromHeight || ended) revert WrongHeights(generation, firstHeight, lastHeight);
        return SSTORE2.read(g.pointer);
    }

    function _next(bytes32 cluster, uint64 fromHeight) internal view returns (uint32 generation) {
        generation = generations(cluster);
        uint64 previous = _generations[cluster][generation - 1].fromHeight;
        if (fromHeight <= previous) revert HeightNotAfter(fromHeight, previous);
    }

    function _drop(bytes32 cluster) internal {
        delete pending[cluster];
        ++vetoes[cluster];
        emit RotationVetoed(cluster, generations(cluster));
    }

    function _checkPossession(
        bytes32 cluster,
        uint32 generation,
        NextKey calldata next,
        bytes calldata possession
    ) internal view {
        if (keccak256(next.key) == keccak256(new bytes(BlsMinSig.KEY_BYTES))) revert ZeroKey();
        bytes memory signed = Messages.signedPossession(encode(cluster, generation, next));
        if (!BlsMinSig.verify(next.key, signed, possession)) revert BadPossession(cluster, generation);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BlsMinSig} from "../src/BlsMinSig.sol";
import {ClusterRegistry, NextKey} from "../src/ClusterRegistry.sol";
import {Batch, Messages} from "../src/Messages.sol";
import {Base} from "./Base.sol";
import {BlsReadable} from "./BlsReadable.sol";

contract ClusterRegistryTest is Base {
    uint256 internal constant NEW = SECRET + 1;

    NextKey internal next;

    function setUp() public {
        make();
        next = newKey();
    }

    function newKey() internal view returns (NextKey memory) {
        return NextKey(BlsReadable.publicKey(NEW), 11, bytes32("members"));
    }

    function propose() internal {
        bytes memory byOld = rotation(SECRET, 1, next);
        registry.proposeRotation(cluster, next, byOld, possession(NEW, 1, next));
    }

    function test_registration_proves_possession_and_refuses_the_zero_key() public {
        bytes memory stranger = possession(SECRET, 0, next);
        vm.expectPartialRevert(ClusterRegistry.BadPossession.selector);
        registry.register("genesis", next, stranger);
        NextKey memory again = NextKey(BlsReadable.publicKey(SECRET), 1, bytes32("members"));
        vm.expectRevert(ClusterRegistry.ZeroKey.selector);
        registry.register("genesis", NextKey(new bytes(256), 1, 0), new bytes(96));
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.AlreadyRegistered.selector, cluster));
        registry.register("genesis", again, new bytes(96));
    }

    function test_rotation_waits_and_then_divides_the_heights() public {
        bytes memory byOld = rotation(SECRET, 1, next);
        bytes memory byNew = possession(NEW, 1, next);
        vm.expectPartialRevert(ClusterRegistry.BadRotation.selector);
        registry.proposeRotation(cluster, next, byNew, byNew);
        vm.expectPartialRevert(ClusterRegistry.BadPossession.selector);
        registry.proposeRotation(cluster, next, byOld, byOld);
        registry.proposeRotation(cluster, next, byOld, byNew);
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.RotationPending.selector, cluster));
        registry.proposeRotation(cluster, next, byOld, byNew);
        vm.warp(block.timestamp + 1 days - 1);
        vm.expectPartialRevert(ClusterRegistry.NotReady.selector);
        registry.rotate(cluster);
        vm.warp(block.timestamp + 1);
        vm.prank(address(1));
        registry.rotate(cluster);
        post(nextBatch());
        refused(nextBatch(), abi.encodeWithSelector(ClusterRegistry.WrongHeights.selector, 0, 11, 20));
        Batch memory b = nextBatch();
        b.keyGeneration = 1;
        inbox.post(b, certificate(NEW, b), "");
    }

    function test_a_vetoed_rotation_cannot_come_back() public {
        bytes memory byOld = rotation(SECRET, 1, next);
        bytes memory byNew = possession(NEW, 1, next);
        registry.proposeRotation(cluster, next, byOld, byNew);
        vm.prank(address(1));
        vm.expectPartialRevert(bytes4(keccak256("OwnableUnauthorizedAccount(address)")));
        registry.veto(cluster);
        registry.veto(cluster);
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.NoRotation.selector, cluster));
        registry.rotate(cluster);
        vm.expectPartialRevert(ClusterRegistry.BadRotation.selector);
        registry.proposeRotation(cluster, next, byOld, byNew);
        propose();
    }

    function test_after_a_compromise_the_owner_alone_names_the_key() public {
        bytes memory byNew = possession(NEW, 1, next);
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.NotCompromised.selector, cluster, 0));
        registry.replace(cluster, next, byNew);
        propose();
        registry.compromised(cluster);
        refused(nextBatch(), abi.encodeWithSelector(ClusterRegistry.KeyRevoked.selector, cluster, 0));
        bytes memory byOld = rotation(SECRET, 1, next);
        byNew = possession(NEW, 1, next);
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.KeyRevoked.selector, cluster, 0));
        registry.proposeRotation(cluster, next, byOld, byNew);
        vm.prank(address(1));
        vm.expectPartialRevert(bytes4(keccak256("OwnableUnauthorizedAccount(address)")));
        registry.replace(cluster, next, byNew);
        registry.replace(cluster, next, byNew);
        assert(registry.generations(cluster) == 2);
    }

    /// A cluster's signatures are for one registry on one chain, whatever is registered elsewhere.
    function test_possession_and_rotation_are_for_one_registry_and_one_chain() public {
        NextKey memory first = NextKey(BlsReadable.publicKey(SECRET), 1, bytes32("members"));
        ClusterRegistry here = registry;
        ClusterRegistry other = new ClusterRegistry(address(this), 1 days);
        bytes memory byFirst = possession(SECRET, 0, first);
        bytes memory byOld = rotation(SECRET, 1, next);
        bytes memory byNew = possession(NEW, 1, next);

        bytes memory bad = abi.encodeWithSelector(ClusterRegistry.BadPossession.selector, cluster, 0);
        vm.expectRevert(bad);
        other.register("genesis", first, byFirst);
        vm.chainId(1);
        vm.expectRevert(bad);
        other.register("genesis", first, byFirst);
        vm.chainId(31_337);
        registry = other;
        other.register("genesis", first, possession(SECRET, 0, first));
        bytes memory byOldThere = rotation(SECRET, 1, next);
        bytes memory byNewThere = possession(NEW, 1, next);

        notProposed(other, byOld, byNewThere, ClusterRegistry.BadRotation.selector);
        notProposed(other, byOldThere, byNew, ClusterRegistry.BadPossession.selector);
        vm.chainId(1);
        notProposed(here, byOld, byNew, ClusterRegistry.BadRotation.selector);
        registry = here;
        notProposed(here, rotation(SECRET, 1, next), byNew, ClusterRegistry.BadPossession.selector);
        vm.chainId(31_337);
        here.proposeRotation(cluster, next, byOld, byNew);
        other.proposeRotation(cluster, next, byOldThere, byNewThere);
    }

    function notProposed(ClusterRegistry at, bytes memory byOld, bytes memory byNew, bytes4 why) internal {
        vm.expectRevert(abi.encodeWithSelector(why, cluster, 1));
        at.proposeRotation(cluster, next, byOld, byNew);
    }

    /// No way in for a key that is no point of the group, at a bounded cost.
    function test_keys_that_are_no_points_of_the_group_are_refused() public {
        bytes memory offCurve = BlsReadable.publicKey(SECRET);
        offCurve[255] ^= 0x01;
        bytes memory offField = BlsReadable.publicKey(SECRET);
        offField[0] = 0x01;
        // x = 2: on the curve, outside the subgroup.
        bytes memory offSubgroup =
            hex"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000018c6b864ae17dc9da64203ffefb966306425a7bc6aeb7c75247438372716284a4173830420cd476ba1a365b95bfcec3800000000000000000000000000000000172e93db764a8400a7d5071b6b6f5de0da2f0f4a063119abca014006b7c40a2cfe291a1924e65db0d6d0fcfbf3bf3d5c";
        // Only the subgroup is at fault: points are added wherever on the curve they are.
        BlsReadable.run(0x0d, bytes.concat(offSubgroup, offSubgroup));

        bytes[3] memory keys = [offCurve, offField, offSubgroup];
        bytes memory infinity = new bytes(128);
        for (uint256 i; i < 3; i++) {
            // Beside the point at infinity every key pairs to one: what is refused is the key itself.
            (bool paired,) = address(0x0f).staticcall{gas: 200_000}(bytes.concat(infinity, keys[i]));
            assert(!paired);
            next.key = keys[i];
            bytes32 own = registry.clusterId("genesis", keys[i]);
            bytes memory signed = Messages.signedPossession(registry.encode(own, 0, next));
            bytes memory sig = BlsReadable.sign(NEW, signed);
            uint256 gas = gasleft();
            vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.BadPossession.selector, own, 0));
            registry.register("genesis", next, sig);
            assert(gas - gasleft() < 300_000);
            notProposed(
                registry, rotation(SECRET, 1, next), possession(NEW, 1, next), ClusterRegistry.BadPossession.selector
            );
        }
        registry.compromised(cluster);
        for (uint256 i; i < 3; i++) {
            next.key = keys[i];
            bytes memory sig = possession(NEW, 1, next);
            vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.BadPossession.selector, cluster, 1));
            registry.replace(cluster, next, sig);
        }
        next.key = BlsReadable.publicKey(NEW);
        (bool right,) = address(0x0f).staticcall{gas: 200_000}(bytes.concat(infinity, next.key));
        assert(right);
        registry.replace(cluster, next, possession(NEW, 1, next));
    }

    function test_keys_and_signatures_of_other_lengths_are_refused() public {
        bytes memory key = next.key;
        uint16[3] memory lengths = [uint16(0), 255, 257];
        for (uint256 i; i < 3; i++) {
            next.key = new bytes(lengths[i]);
            vm.expectRevert(abi.encodeWithSelector(BlsMinSig.KeyLength.selector, lengths[i]));
            registry.register("genesis", next, new bytes(96));
        }
        next.key = key;
        lengths = [uint16(0), 95, 97];
        for (uint256 i; i < 3; i++) {
            bytes memory short = new bytes(lengths[i]);
            bytes memory why = abi.encodeWithSelector(BlsMinSig.SignatureLength.selector, lengths[i]);
            vm.expectRevert(why);
            registry.register("genesis", next, short);
            vm.expectRevert(why);
            registry.proposeRotation(cluster, next, short, new bytes(96));
            bytes memory byOld = rotation(SECRET, 1, next);
            vm.expectRevert(why);
            registry.proposeRotation(cluster, next, byOld, short);
            Batch memory b = nextBatch();
            vm.expectRevert(why);
            inbox.post(b, short, "");
        }
    }
}

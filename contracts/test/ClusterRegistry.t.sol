// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ClusterRegistry, NextKey} from "../src/ClusterRegistry.sol";
import {Batch} from "../src/Messages.sol";
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
}

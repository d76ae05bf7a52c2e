/* Hosts many matrix-js-sdk clients in one process, which are told by JSON lines what to do: node clients.mjs FOLDER.
 *
 * FOLDER is where `npm ci` was run; it lies outside of the repository. A line on stdin is
 *     {"id": 1, "client": "ann", "do": "login", "with": {…}}
 * and its answer on stdout, in the order in which they become ready,
 *     {"id": 1, "ok": true, "result": …}   or   {"id": 1, "ok": false, "error": "…"}
 * `verbs` below lists what can be done; tests/e2e/js_clients.py is the other end. What the sdk logs is dropped, or
 * goes to stderr where JS_CLIENTS_LOG is set. The process ends with `quit`, and when stdin closes.
 */

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

const LOUD = Boolean(process.env.JS_CLIENTS_LOG);

// Before the sdk is loaded: it, its logger and the Rust code all write to the console, and stdout is ours.
for (const level of ["log", "trace", "debug", "info", "warn", "error"]) {
    console[level] = LOUD ? (...words) => process.stderr.write(`${level} ${format(...words)}\n`) : () => {};
}

// The sdk asks for Node 22; of what came with that one, this is all that it uses.
Promise.withResolvers ??= function () {
    const resolvers = {};
    resolvers.promise = new this((resolve, reject) => Object.assign(resolvers, { resolve, reject }));
    return resolvers;
};

// `import` looks next to this file only, and nothing is installed there.
const installed = createRequire(pathToFileURL(join(process.argv[2], "package.json")));
const load = (name) => import(pathToFileURL(installed.resolve(name)).href);
const sdk = await load("matrix-js-sdk");
const { AllDevicesIsolationMode, CryptoEvent, OnlySignedDevicesIsolationMode } = await load(
    "matrix-js-sdk/lib/crypto-api/index.js",
);

const DEFAULT_TIMEOUT_MS = 15_000;

/** The longest timeline that Synapse gives: a longer gap in a sync would take events out of the live timeline. */
const TIMELINE_LIMIT = 100;

/** After any of these, something that is waited for may have become true. */
const NEWS = [
    sdk.ClientEvent.Sync,
    sdk.ClientEvent.Room,
    sdk.RoomEvent.Timeline,
    sdk.RoomEvent.LocalEchoUpdated,
    sdk.RoomEvent.MyMembership,
    sdk.MatrixEventEvent.Decrypted,
    sdk.MatrixEventEvent.Replaced,
    CryptoEvent.DevicesUpdated,
];

/** name -> {client: the sdk's, gone: aborted when it is stopped} */
const people = new Map();

function personCalled(name) {
    const person = people.get(name);
    if (!person) throw new Error(`nobody called ${JSON.stringify(name)} is logged in`);
    return person;
}

/** Resolve with what `find` returns or resolves with, as soon as that is something. */
function until({ client, gone }, what, timeoutMs, find) {
    return new Promise((resolve, reject) => {
        const end = (settle, value) => {
            clearTimeout(clock);
            NEWS.forEach((news) => client.off(news, look));
            gone.signal.removeEventListener("abort", stopped);
            settle(value);
        };
        const look = async () => {
            try {
                const now = await find();
                if (now) end(resolve, now);
            } catch (fault) {
                end(reject, fault);
            }
        };
        const stopped = () => end(reject, new Error(`stopped while waiting for ${what}`));
        const late = () => end(reject, new Error(`waited ${timeoutMs} ms in vain for ${what}`));
        const clock = setTimeout(late, timeoutMs);
        NEWS.forEach((news) => client.on(news, look));
        gone.signal.addEventListener("abort", stopped);
        look();
    });
}

function timeline(client, room) {
    const known = client.getRoom(room);
    if (!known) throw new Error(`${client.getUserId()} knows no room ${room}`);
    return known.getLiveTimeline().getEvents();
}

/** An event as it is in the timeline; an edit is one of its own, whose body is the new one. */
function described(event) {
    const failed = event.isDecryptionFailure();
    const original = failed ? {} : event.getOriginalContent();
    const own = event.isRelation("m.replace") ? (original["m.new_content"] ?? original) : original;
    const shown = failed ? {} : event.getContent();
    return {
        event_id: event.getId(),
        sender: event.getSender(),
        type: failed ? event.getWireType() : event.getType(),
        body: own.body ?? null,
        shown: shown.body ?? null,
        msgtype: own.msgtype ?? null,
        encrypted: event.isEncrypted(),
        failure: event.decryptionFailureReason,
        redacted: event.isRedacted(),
        // Of an encrypted event clients heed what stands outside of the encryption, and so do we.
        relates_to: event.getWireContent()["m.relates_to"] ?? null,
        mentions: original["m.mentions"] ?? null,
    };
}

/** Whether it is known what the event says, or why it cannot be read. */
function isSettled(client, event) {
    if (!event.isEncrypted() || event.isRedacted()) return true;
    // The sdk leaves what was sent before the login until somebody looks at it.
    client.decryptEventIfNeeded(event);
    return !event.isBeingDecrypted();
}

/** Wait until the room is there with its state, without which the sdk would write in the clear. */
function inRoom(person, room, membership, encrypted = false) {
    const { client } = person;
    return until(person, `${membership} of ${client.getUserId()} in ${room}`, DEFAULT_TIMEOUT_MS, () => {
        const known = client.getRoom(room);
        return known?.getMyMembership() === membership && (!encrypted || known.hasEncryptionStateEvent());
    });
}

/** Sign the own device; make the keys for that where the account has none. */
async function sign(client, userId, password) {
    const crypto = client.getCrypto();
    // New keys would take the signature away from the devices that have one.
    if (await crypto.userHasCrossSigningKeys(userId, true)) return;
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: userId }, password };
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async (makeRequest) => {
            await makeRequest(auth);
        },
    });
    // Ask back, so that from now on this client itself knows its device as signed.
    await crypto.userHasCrossSigningKeys(userId, true);
}

const verbs = {
    async login(name, { url, user_id, password, strict = false, signed = true }) {
        if (people.has(name)) throw new Error(`${name} is logged in already`);
        const door = sdk.createClient({ baseUrl: url });
        const login = await door.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: user_id },
            password,
            initial_device_display_name: name,
        });
        const client = sdk.createClient({
            baseUrl: url,
            userId: login.user_id,
            deviceId: login.device_id,
            accessToken: login.access_token,
        });
        client.setMaxListeners(0);
        const person = { client, gone: new AbortController() };
        people.set(name, person);
        try {
            await client.initRustCrypto({ useIndexedDB: false });
            const crypto = client.getCrypto();
            crypto.setDeviceIsolationMode(
                strict ? new OnlySignedDevicesIsolationMode() : new AllDevicesIsolationMode(false),
            );
            await client.startClient({
                initialSyncLimit: TIMELINE_LIMIT,
                disablePresence: true,
                // Else what was sent here stands in the timeline before it has an id.
                pendingEventOrdering: sdk.PendingEventOrdering.Detached,
            });
            await until(person, "the first sync", 2 * DEFAULT_TIMEOUT_MS, () => client.isInitialSyncComplete());
            if (signed) await sign(client, login.user_id, password);
            const status = await crypto.getDeviceVerificationStatus(login.user_id, login.device_id);
            return { user_id: login.user_id, device_id: login.device_id, signed: status?.signedByOwner ?? false };
        } catch (fault) {
            verbs.stop(name);
            throw fault;
        }
    },

    /** Sign another device of the own account, as a person does who verifies a new device with an old one. */
    async sign_device(name, { device }) {
        const { client } = personCalled(name);
        const crypto = client.getCrypto();
        await crypto.userHasCrossSigningKeys(client.getUserId(), true); // asks for the own devices anew
        await crypto.crossSignDevice(device);
    },

    async create_room(name, { name: title, encrypted = true, invite = [] }) {
        const person = personCalled(name);
        const content = { algorithm: "m.megolm.v1.aes-sha2" };
        const { room_id } = await person.client.createRoom({
            name: title,
            invite,
            preset: "private_chat",
            initial_state: encrypted ? [{ type: "m.room.encryption", state_key: "", content }] : [],
        });
        await inRoom(person, room_id, "join", encrypted);
        return room_id;
    },

    async join(name, { room }) {
        const person = personCalled(name);
        await person.client.joinRoom(room);
        await inRoom(person, room, "join");
    },

    async leave(name, { room }) {
        const person = personCalled(name);
        await person.client.leave(room);
        await inRoom(person, room, "leave");
    },

    async invite(name, { room, user }) {
        await personCalled(name).client.invite(room, user);
    },

    async kick(name, { room, user, reason }) {
        await personCalled(name).client.kick(room, user, reason ?? undefined);
    },

    async send(name, { room, text, reply_to, thread }) {
        const { client } = personCalled(name);
        timeline(client, room);
        const content = { msgtype: "m.text", body: text, "m.mentions": {} };
        if (thread) content["m.relates_to"] = { rel_type: "m.thread", event_id: thread, is_falling_back: !reply_to };
        if (reply_to || thread) {
            content["m.relates_to"] = {
                ...content["m.relates_to"],
                "m.in_reply_to": { event_id: reply_to ?? thread },
            };
        }
        return (await client.sendMessage(room, content)).event_id;
    },

    async edit(name, { room, event, text }) {
        const { client } = personCalled(name);
        timeline(client, room);
        const content = {
            msgtype: "m.text",
            body: `* ${text}`,
            "m.mentions": {},
            "m.new_content": { msgtype: "m.text", body: text, "m.mentions": {} },
            "m.relates_to": { rel_type: "m.replace", event_id: event },
        };
        return (await client.sendMessage(room, content)).event_id;
    },

    async react(name, { room, event, key }) {
        const { client } = personCalled(name);
        const content = { "m.relates_to": { rel_type: "m.annotation", event_id: event, key } };
        return (await client.sendEvent(room, "m.reaction", content)).event_id;
    },

    async redact(name, { room, event, reason }) {
        const { client } = personCalled(name);
        return (await client.redactEvent(room, event, undefined, reason ? { reason } : undefined)).event_id;
    },

    async read(name, { room }) {
        const { client } = personCalled(name);
        const events = timeline(client, room);
        await Promise.all(events.map((event) => client.decryptEventIfNeeded(event)));
        return events.map(described);
    },

    /** The first event of the timeline with these words, whether it is there already or comes. */
    wait(name, { room, contains, sender, timeout_ms = DEFAULT_TIMEOUT_MS }) {
        const person = personCalled(name);
        const what = `${JSON.stringify(contains)} in ${room}`;
        return until(person, what, timeout_ms, () => {
            if (!person.client.getRoom(room)) return undefined;
            return timeline(person.client, room)
                .filter((event) => !sender || event.getSender() === sender)
                .filter((event) => isSettled(person.client, event))
                .map(described)
                .find(({ body }) => body?.includes(contains));
        });
    },

    /** One event, whether it can be read or not. */
    wait_event(name, { room, event: id, readable, failure, timeout_ms = DEFAULT_TIMEOUT_MS }) {
        const person = personCalled(name);
        return until(person, `${id} in ${room}`, timeout_ms, () => {
            const event = person.client.getRoom(room)?.findEventById(id);
            if (!event || !isSettled(person.client, event)) return undefined;
            const seen = described(event);
            return (!readable || !seen.failure) && (!failure || seen.failure === failure) ? seen : undefined;
        });
    },

    wait_invite(name, { name_contains, timeout_ms = DEFAULT_TIMEOUT_MS }) {
        const person = personCalled(name);
        return until(person, `an invite to ${JSON.stringify(name_contains)}`, timeout_ms, () => {
            const invites = person.client.getRooms().filter((room) => room.getMyMembership() === "invite");
            return invites.find((room) => room.name.includes(name_contains))?.roomId;
        });
    },

    /** Until the own membership of a room is this one, whoever changed it. */
    async wait_membership(name, { room, membership, timeout_ms = DEFAULT_TIMEOUT_MS }) {
        const person = personCalled(name);
        await until(person, `${membership} in ${room}`, timeout_ms, () => {
            return person.client.getRoom(room)?.getMyMembership() === membership;
        });
    },

    async devices_seen(name, { user }) {
        const crypto = personCalled(name).client.getCrypto();
        const devices = (await crypto.getUserDeviceInfo([user], true)).get(user) ?? new Map();
        return Promise.all(
            [...devices.values()].map(async ({ deviceId, displayName }) => {
                const status = await crypto.getDeviceVerificationStatus(user, deviceId);
                return {
                    device_id: deviceId,
                    name: displayName ?? null,
                    // The crypto code keeps nothing about who shares no encrypted room with us.
                    tracked: status !== null,
                    signed_by_owner: status?.signedByOwner ?? false,
                    cross_signing_verified: status?.crossSigningVerified ?? false,
                    locally_verified: status?.localVerified ?? false,
                    verified: status?.isVerified() ?? false,
                };
            }),
        );
    },

    /** Until all devices of somebody are signed by their owner, and there is at least one. */
    wait_signed(name, { user, device = null, timeout_ms = DEFAULT_TIMEOUT_MS }) {
        const person = personCalled(name);
        return until(person, `signed devices of ${user}`, timeout_ms, async () => {
            const devices = await verbs.devices_seen(name, { user });
            const there = device === null ? devices.length > 0 : devices.some((known) => known.device_id === device);
            return there && devices.every((known) => known.signed_by_owner);
        });
    },

    rooms(name) {
        const { client } = personCalled(name);
        return client.getRooms().map((room) => ({
            room_id: room.roomId,
            name: room.name,
            membership: room.getMyMembership(),
            encrypted: room.hasEncryptionStateEvent(),
            members: room.getJoinedMembers().map(({ userId }) => userId),
        }));
    },

    stop(name) {
        const { client, gone } = personCalled(name);
        people.delete(name);
        gone.abort();
        client.stopClient();
    },

    quit() {
        [...people.keys()].forEach((name) => verbs.stop(name));
    },
};

/** The words of an error; those of the homeserver name the URL, which says nothing. */
function words(fault) {
    if (fault?.errcode) return `${fault.httpStatus} ${fault.errcode}: ${fault.data?.error ?? ""}`;
    return fault instanceof Error ? fault.message : String(fault);
}

async function answer(line) {
    const { id, client, do: verb, with: given } = JSON.parse(line);
    let reply;
    try {
        if (!Object.hasOwn(verbs, verb)) throw new Error(`no such verb: ${verb}`);
        reply = { id, ok: true, result: (await verbs[verb](client, given ?? {})) ?? null };
    } catch (fault) {
        console.error(fault);
        reply = { id, ok: false, error: words(fault) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`, () => {
        // The sdk's timers would keep the process for minutes.
        if (verb === "quit") process.exit(0);
    });
}

// What the sdk does in the background may fail when a server ends; that is no reason to end the other clients.
process.on("unhandledRejection", (fault) => process.stderr.write(`unhandled: ${format(fault)}\n`));

createInterface({ input: process.stdin }).on("line", answer).on("close", () => process.exit(0));

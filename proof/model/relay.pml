/* Model of rendezvous, takeover, close and stop: five connections, two codes, every schedule.
 *
 * `python -m proof.model` checks it, and shows that spin finds each FAULT. A comment with a file and a name has the
 * place of the modelled code in relay/. Code between two checkpoints of trio is one atomic block. A pair has the
 * number of its side A. Three rules keep the number of states small, and exclude no run of the relay:
 * - Clients and timeouts have no state. Until `settled` is set, a client may leave, a takeover check may fail, and a
 *   timeout may expire. `settled` may be set at any moment. If a run of the relay gets stuck, the model gets stuck
 *   too, once `settled` is set after the last of these events.
 * - A client may be refused in every phase, because the relay drains or because of a limit. So the model has no
 *   phase DRAINING, and covers a stop with and without close_listeners.
 * - Connections arrive in the order of their numbers, and the first one has code 0. All other runs are equivalent. */
#define CONNECTIONS 5
#define NONE 15
#define FREE_BY_CODE 1     /* the end of a pair frees its code, even if a newer pair has this code */
#define EVICT_BY_CODE 2    /* a takeover check ends the pair that has the code at the end of the check */
#define FORWARD_BY_CODE 3  /* a pump looks up its sink by the code */
#define THIRD_SIDE 4       /* a pair with two sides accepts a third client */
#define LOSE_EARLY_DATA 5  /* a pair that ends while side B joins drops the early data */
#define FORGET_WAITING 6   /* a stop ends only joined pairs */
#define FORGET_LATE 7      /* a stop overlooks the sides that join after it has begun */
#define WAKE_NOBODY 8      /* the end of a takeover check wakes no connection that awaits it */
#define PAIR(fault, c) (FAULT == fault -> table[code[c]] : p)  /* pair p; with the fault, the pair with its code */

byte table[2] = NONE                /* pairing/rendezvous.py: Rendezvous.find */
byte code[CONNECTIONS], b[CONNECTIONS] = NONE           /* pairing/pair.py: Pair */
bool ended[CONNECTIONS] = true      /* pairing/pair.py: Pair.outcome; also true if there is no pair */
bool alone[CONNECTIONS]             /* pairing/pair.py: Pair.alone; true once it is cancelled */
bool over[CONNECTIONS]              /* pairing/pair.py: Pair.over */
byte checked[CONNECTIONS] = NONE    /* pairing/pair.py: Pair.checked; connection that runs the check */
byte awaits[CONNECTIONS] = NONE     /* pair whose check the connection awaits */
byte pair[CONNECTIONS] = NONE       /* server/join.py: Joined.pair; NONE again once the side is closed */
byte arrived, open = CONNECTIONS    /* server/state.py: RelayState.connections */
mtype = { RUNNING, STOPPING, STOPPED }; mtype phase = RUNNING  /* server/state.py: Phase */
bool settled
hidden byte i, k, n                 /* temporary values, which are not part of a state */

inline end(x) {                     /* pairing/pair.py: Pair.end */
  d_step {                          /* pairing/rendezvous.py: Rendezvous.free */
    if :: FAULT == FREE_BY_CODE || table[code[x]] == x -> table[code[x]] = NONE :: else fi
    ended[x] = true
    for (i in code) { assert(pair[i] != i || ended[i] || table[code[i]] == i) }  /* no pair loses its code */
  }
}

inline end_check() {                /* pairing/pair.py: Pair.checked */
  d_step {
    checked[p] = NONE
    for (i in awaits) { if :: awaits[i] == p && FAULT != WAKE_NOBODY -> awaits[i] = NONE :: else fi }
  }
}

inline count_sides() { n = 0; for (i in pair) { n = n + (pair[i] == p) } }

active [CONNECTIONS] proctype Connection() {
  byte c = _pid, p; bool taken      /* taken: the early data of the pair is forwarded */
  atomic {                          /* server/connection.py: Connection._join */
    arrived == c -> arrived++
    if :: code[c] = 0 :: c > 0 -> code[c] = 1 :: goto done fi  /* server/state.py: RelayState.refuses_sides */
check:                              /* server/takeover.py: evict_dead */
    p = table[code[c]]
    if                              /* pairing/alive_check.py: sides_to_check */
    :: p == NONE || b[p] == NONE -> goto join           /* no pair, or side A was heard just now */
    :: p != NONE && checked[p] == NONE -> checked[p] = c
    :: p != NONE && checked[p] != NONE -> awaits[c] = p
    fi
  }
  atomic {                          /* pairing/alive_check.py: find_dead_side */
    awaits[c] == NONE || phase == STOPPED               /* server/connection.py: Connection.cancel */
    if
    :: checked[p] == c && !settled && PAIR(EVICT_BY_CODE, c) != NONE && !ended[PAIR(EVICT_BY_CODE, c)] ->
      assert(pair[p] == PAIR(EVICT_BY_CODE, c)); end(p)  /* no pair of two live sides is evicted */
    :: true
    fi
    if :: checked[p] == c -> end_check() :: else -> awaits[c] = NONE fi
    if :: phase == STOPPED -> goto done :: ended[p] -> goto check :: else fi
join:                               /* pairing/rendezvous.py: Rendezvous.join */
    if
    :: table[code[c]] == NONE -> p = c; table[code[c]] = c; ended[c] = false
    :: table[code[c]] != NONE && (FAULT == THIRD_SIDE || b[table[code[c]]] == NONE) -> p = table[code[c]]; b[p] = c
    :: else -> goto done            /* refused */
    fi
    pair[c] = p                     /* server/connection.py: Connection._serve_request */
    d_step { count_sides(); assert(n <= 2) }
    if :: phase != RUNNING && FAULT != FORGET_LATE -> end(p) :: else fi
    if :: c != p -> code[c] = 0; goto side_b :: else fi
  }
  atomic {                          /* pairing/early_data.py: EarlyData.receive */
    ended[p] || alone[p] || !settled                    /* server/connection.py: Connection._run_pair */
    if :: ended[p] || b[p] == NONE -> goto finally :: else fi
  }
  atomic {                          /* pairing/pump.py: run_pair */
    ended[p] || !settled -> taken = true
    d_step {                        /* pairing/pump.py: Pump.forward */
      n = PAIR(FORWARD_BY_CODE, p)
      assert(n == NONE || pair[n] == p && pair[b[n]] == p)  /* no message crosses pairs */
    }
finally:                            /* server/connection.py: Connection._serve_request */
    end(p)                          /* pairing/pair.py: Pair.finish */
    if :: b[p] != NONE && FAULT != LOSE_EARLY_DATA -> taken = true :: else fi
    assert(taken || b[p] == NONE)   /* the early data precedes the close frame of side B */
    over[p] = true; taken = false; goto close
  }
side_b:                             /* server/connection.py: Connection._wait_as_b */
  atomic {                          /* pairing/side.py: Side.accept */
    if :: ended[p] || !settled -> end(p) :: !ended[p] -> alone[p] = true fi
  }
close:
  atomic {                          /* pairing/side.py: Side.close */
    over[p] -> pair[c] = NONE       /* a client that stays gets its close frame now */
    d_step { count_sides(); if :: !n -> b[p] = NONE; alone[p] = false; over[p] = false; code[p] = 0 :: else fi }
done:                               /* server/state.py: RelayState.remove */
    open--; p = 0
  }
end_closed: false                   /* the end of a process would add states */
}

#define DUE(p) (p != NONE && (!settled || phase == RUNNING && b[p] == NONE))  /* settled: only waiting sides */
active proctype Sweeper() {         /* pairing/sweeper.py: sweep */
end_swept: do
  :: atomic { DUE(table[0]) -> n = table[0]; end(n) }
  :: atomic { DUE(table[1]) -> n = table[1]; end(n) }
  :: atomic { !settled -> settled = true }
  od
}

inline end_pairs(condition) {       /* server/shutdown.py: end_pairs */
  d_step { for (k in pair) { if :: pair[k] == k && (condition) -> end(k) :: else fi } }
}

#define GOES_ON(p) (p == NONE || alone[p])
#define IS_OVER(p) (pair[p] != p || b[p] != NONE || over[p])
active proctype Stop() {
  atomic {                          /* server/state.py: RelayState.request_stop */
    /* It begins at any moment, or once nothing else can happen. Each code in use then has two sides that go on. */
    if :: !settled :: timeout -> assert(GOES_ON(table[0]) && GOES_ON(table[1])) fi
    if :: true :: !settled -> goto at_once fi           /* serve_relay was cancelled */
    phase = STOPPING                /* server/shutdown.py: stop_gracefully */
    end_pairs(b[k] == NONE && FAULT != FORGET_WAITING)
  }
  atomic {                          /* once settled, the stop waits for as much as the relay, or more */
    !settled || IS_OVER(0) && IS_OVER(1) && IS_OVER(2) && IS_OVER(3) && IS_OVER(4)
    end_pairs(b[k] != NONE || FAULT != FORGET_WAITING)
  }
  atomic {
    !settled || !open               /* limits/admission.py: AdmissionControl.slots */
at_once:                            /* server/shutdown.py: stop_at_once */
    phase = STOPPED; settled = true; end_pairs(true)
  }
  !open -> assert(table[0] == NONE && table[1] == NONE)  /* the stop terminates, and no code is held for ever */
}

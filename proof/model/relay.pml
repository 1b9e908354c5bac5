/* Model of rendezvous, takeover, close and stop: four connections, two codes, every schedule.
 *
 * `python -m proof.model` checks it, and shows that spin finds each FAULT. A comment with a file and a name
 * has the place of the modelled code in relay/. Code between two checkpoints of trio is one atomic
 * block. Time is left out: a timeout may expire at any moment. A pair has the number of its side A. */
#define CODES 2
#define NONE 15
#define SLOTS (open + arrived - CONNECTIONS)  /* limits/admission.py: AdmissionControl.slots */
#define IS_DEAD(c) (client[c] == DEAD)
#define LEFT(c) (client[c] == LEAVES)
#if FAULT == 3                      /* FORWARD_BY_CODE */
#define A_OF(p) table[code[p]]
#define B_OF(p) (table[code[p]] == NONE -> NONE : b[table[code[p]]])
#else
#define A_OF(p) p
#define B_OF(p) b[p]
#endif
#define FREE_BY_CODE 1     /* an end frees the code, also if a newer pair has it */
#define EVICT_BY_CODE 2    /* a takeover check ends the pair that has the code at its end */
#define FORWARD_BY_CODE 3  /* a pump looks its sink up by the code */
#define THIRD_SIDE 4       /* a pair with two sides accepts a third client */
#define LOSE_EARLY_DATA 5  /* a pair that ends while side B joins drops the early data */
#define FORGET_WAITING 6   /* a stop ends joined pairs only */
#define FORGET_LATE 7      /* a stop overlooks the sides that join after its begin */
#define WAKE_NOBODY 8      /* a takeover check that ends wakes no connection that awaits it */

byte table[CODES] = NONE            /* pairing/rendezvous.py: Rendezvous.find */
byte code[CONNECTIONS], b[CONNECTIONS] = NONE           /* pairing/pair.py: Pair */
byte sides[CONNECTIONS]             /* number of connections that belong to the pair */
bool ended[CONNECTIONS]             /* pairing/pair.py: Pair.outcome */
bool over[CONNECTIONS]              /* pairing/pair.py: Pair.over */
bool alone[CONNECTIONS]             /* pairing/pair.py: Pair.alone; true once it is cancelled */
bool checked[CONNECTIONS]           /* pairing/pair.py: Pair.checked */
byte awaits[CONNECTIONS] = NONE     /* pair whose check the connection awaits */
byte pair[CONNECTIONS] = NONE       /* server/connection.py: Joined */
bool cancelled[CONNECTIONS]         /* server/connection.py: Connection.cancel */
mtype = { STAYS, LEAVES, DEAD }
mtype client[CONNECTIONS] = STAYS   /* answers for ever, leaves at any moment, or answers nothing */
byte arrived, open = CONNECTIONS, phase
bool close_listeners                /* server/state.py: RelayState.request_stop */
bool late, patient                  /* a stop once nothing else can happen; a stop without timeouts */
#define RUNNING 0                   /* server/state.py: Phase */
#define DRAINING 1
#define STOPPING 2
#define STOPPED 3

inline end(x) {                     /* pairing/pair.py: Pair.end */
  d_step {
    if                              /* pairing/rendezvous.py: Rendezvous.free */
    :: FAULT == FREE_BY_CODE || table[code[x]] == x -> table[code[x]] = NONE
    :: else
    fi
    ended[x] = true; cancelled[x] = true                /* pairing/side.py: Side.end */
    if :: b[x] != NONE -> cancelled[b[x]] = true :: else fi
    for (i in code) { assert(pair[i] != i || ended[i] || table[code[i]] == i) }  /* no code is lost */
    i = 0
  }
}

inline evict(x, y) {                /* server/takeover.py: evict_dead */
  q = (FAULT == EVICT_BY_CODE -> table[code[c]] : x)
  assert(pair[y] == q)              /* no pair of two live sides is evicted */
  end(q); q = 0
}

inline deliver(x, y) {              /* pairing/pump.py: Pump.forward; x is the source, y the sink */
  q = y
  assert(q == NONE || pair[q] == pair[x]); q = 0        /* no message crosses pairs */
}

proctype Connection(byte c) {
  byte p = NONE, q, i, pinged = NONE
  bool checks, taken
  atomic {                          /* server/connection.py: Connection._join */
    arrived == c -> arrived++       /* in the order of their numbers: all others are equivalent */
    if :: code[c] = 0 :: c > 0 -> code[c] = 1 fi
    if
    :: cancelled[c] -> assert(phase == STOPPED); goto done
    :: !cancelled[c] && phase != RUNNING && !close_listeners -> goto done  /* refused */
    :: else
    fi
check:                              /* server/takeover.py: evict_dead */
    p = table[code[c]]
    if                              /* pairing/alive_check.py: sides_to_check */
    :: p == NONE || b[p] == NONE -> goto join           /* no pair, or side A was heard just now */
    :: p != NONE && checked[p] -> awaits[c] = p
    :: p != NONE && !checked[p] -> checks = true; checked[p] = true; pinged = b[p]
    fi
  }
  atomic {                          /* pairing/alive_check.py: find_dead_side */
    checks || awaits[c] == NONE || cancelled[c]
    if
    :: checks && FAULT != WAKE_NOBODY ->
      checked[p] = false
      for (i in code) { if :: awaits[i] == p -> awaits[i] = NONE :: else fi }
    :: else -> awaits[c] = NONE
    fi
    if                              /* the check fails, passes, or was another connection's */
    :: cancelled[c] -> assert(phase == STOPPED); goto done
    :: !cancelled[c] && checks && (FAULT == EVICT_BY_CODE && table[code[c]] != NONE || !ended[p]) ->
      if
      :: IS_DEAD(p) -> evict(p, p)
      :: pinged != NONE && IS_DEAD(pinged) -> evict(p, pinged)
      :: true
      fi
    :: else
    fi
    checks = false; pinged = NONE; i = 0
    if :: ended[p] -> goto check :: else fi
join:                               /* pairing/rendezvous.py: Rendezvous.join */
    if
    :: table[code[c]] == NONE -> p = c; table[code[c]] = c
    :: table[code[c]] != NONE && (FAULT == THIRD_SIDE || b[table[code[c]]] == NONE) -> p = table[code[c]]; b[p] = c
    :: else -> goto done            /* refused */
    fi
    pair[c] = p; sides[p]++
    assert(sides[p] <= 2)
    if :: client[c] = LEAVES :: client[c] = DEAD :: skip fi
    if :: phase >= STOPPING && FAULT != FORGET_LATE -> end(p) :: else fi  /* server/connection.py: Connection._serve_request */
  }
  atomic {
    if
    :: c == p && cancelled[c] -> goto finally           /* server/connection.py: Connection._run_pair */
    :: c == p && (LEFT(c) || alone[c]) ->
      if :: b[p] == NONE -> goto finally :: else fi     /* pairing/early_data.py: EarlyData.receive */
      deliver(p, B_OF(p)); taken = true                 /* pairing/pump.py: Pump.run */
    :: c != p && LEFT(c) -> goto finally                /* pairing/side.py: Side.accept */
    :: c != p -> alone[p] = true                        /* server/connection.py: Connection._wait_as_b */
    fi
  }
  atomic {
    if
    :: c != p && (over[p] || cancelled[c])
    :: c == p && (cancelled[c] || LEFT(p) || LEFT(b[p])) ->  /* pairing/pump.py: run_pair */
      deliver(p, B_OF(p)); deliver(b[p], A_OF(p))
    fi
finally:                            /* server/connection.py: Connection._serve_request */
    end(p)
    if
    :: c == p ->                    /* pairing/pair.py: Pair.finish */
      if
      :: FAULT != LOSE_EARLY_DATA && !taken && b[p] != NONE -> deliver(p, b[p]); taken = true
      :: else
      fi
      assert(taken || b[p] == NONE) /* the early data precedes the close frame of side B */
      over[p] = true
    :: else
    fi
  }
  atomic {                          /* pairing/side.py: Side.close */
    over[p] -> sides[p]--           /* a client that stays gets its close frame now */
    if :: !sides[p] -> b[p] = NONE; alone[p] = false; over[p] = false; code[p] = 0 :: else fi
done:                               /* server/state.py: RelayState.remove */
    open--; client[c] = STAYS; cancelled[c] = false; pair[c] = NONE
    p = 0; pinged = 0; taken = false; checks = false
  }
}

#define DUE(k) (table[k] != NONE && (phase < STOPPING || !patient) && \
  (b[table[k]] == NONE || IS_DEAD(table[k]) || IS_DEAD(b[table[k]])))
proctype Sweeper() {                /* pairing/sweeper.py: sweep */
  byte p, i
  do
  :: atomic { DUE(0) -> p = table[0]; end(p); p = 0 }
  :: atomic { DUE(1) -> p = table[1]; end(p); p = 0 }
  :: phase == STOPPED -> break
  od
}

#define ENDS(p) (FAULT != FORGET_WAITING || b[p] != NONE)
inline end_pairs() {                /* server/shutdown.py: end_pairs */
  for (k in table) { if :: table[k] != NONE && ENDS(table[k]) -> q = table[k]; end(q) :: else fi }
  q = 0; k = 0
}
#define WAITED(c) (!waiting[(c) % CONNECTIONS] || over[(c) % CONNECTIONS] || !sides[(c) % CONNECTIONS])

proctype Stop() {
  byte i, k, q
  bool waiting[CONNECTIONS]
  if
  :: !late                          /* the stop begins at any moment */
  :: late && timeout ->             /* or last: each code then has two sides that want to go on */
    for (k in table) {
      assert(table[k] == NONE || client[table[k]] == STAYS && client[b[table[k]]] == STAYS)
    }
  fi
  if :: patient = true :: skip fi
  if
  :: atomic { if :: close_listeners = true :: skip fi; phase = DRAINING }
    atomic {                        /* server/shutdown.py: stop_gracefully */
      phase = STOPPING
      for (k in table) {
        if
        :: table[k] != NONE && b[table[k]] == NONE && ENDS(table[k]) ->
          q = table[k]; waiting[q] = true; end(q)
        :: else
        fi
      }
    }
    WAITED(0) && WAITED(1) && WAITED(2) && WAITED(3) || !patient
    atomic { end_pairs() }
    !SLOTS && (!close_listeners || !open) || !patient
  :: skip                           /* serve_relay was cancelled */
  fi
  atomic {                          /* server/shutdown.py: stop_at_once */
    phase = STOPPED
    end_pairs()
    for (k in cancelled) { cancelled[k] = true }
  }
  !open                             /* the stop terminates, and no code is held for ever */
  for (k in table) { assert(table[k] == NONE) }
}

init {
  byte c
  atomic {
    late = LATE
    for (c : 0 .. CONNECTIONS - 1) { run Connection(c) }
    run Sweeper(); run Stop()
  }
}

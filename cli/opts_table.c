/* opts_table.c -- the one table of options.  A name here is the flag, the key in a --config file
 * and, where there is one, the field of asgd_config. */
#include "opts.h"

#define AT(field) offsetof(cli_options, field)
#define LEARN (CMD_TRAIN | CMD_COMPARE)
#define USE (CMD_EVAL | CMD_PREDICT)
#define READ (LEARN | USE | CMD_INSPECT)

#define DATA "Data"
#define MODEL "Model (asgd help MODEL tells which it has and their defaults)"
#define LEARNING "Learning"
#define WORKERS "Workers and memory"
#define PROCESSES "Processes (started by mpirun, asgd-mpirun or srun)"
#define STOPPING "Evaluation and stopping"
#define CHECKPOINT "Checkpoints"
#define EXPERIMENT "Experiments"
#define OUTPUT "Output"

const opt_spec opt_table[] = {
    {"train", DATA, LEARN, OPT_TEXT, AT(train), .arg = "PATH",
     .help =
         "training data: an IDX folder (reads train-*), or a LIBSVM, libFFM, Criteo, CSV, "
         "Vowpal Wabbit or extreme classification (xc) file, plain, .gz, .xz, .bz2 or .zst; - is "
         "standard input"},
    {"valid", DATA, LEARN, OPT_TEXT, AT(valid), .arg = "PATH",
     .help = "validation data; of an IDX folder t10k-* is read, so it may be the same folder"},
    {"data", DATA, USE | CMD_INSPECT, OPT_TEXT, AT(data), .arg = "PATH",
     .help = "data: an IDX folder or a file, - is standard input; inspect MODEL: text to take the "
             "names of features from"},
    {"part", DATA, USE | CMD_INSPECT, OPT_CHOICE, AT(part), .arg = "PART",
     .fallback = "test (inspect: train)", .help = "of an IDX folder: train-* or t10k-*",
     .choices = "train,test"},
    {"user", DATA, CMD_RECOMMEND, OPT_TEXT, AT(user), .arg = "U", .fallback = "all, to -o",
     .help = "recommend to this user"},
    {"item", DATA, CMD_RECOMMEND, OPT_TEXT, AT(item), .arg = "I",
     .help = "tell the items most like this one instead"},
    {"exclude", DATA, CMD_RECOMMEND | CMD_EVAL, OPT_TEXT, AT(exclude), .arg = "FILE,...",
     .help = "ratings whose items are not ranked for their users: those of the training data"},
    {"format", DATA, READ | CMD_SYNTH, OPT_CHOICE, AT(format), .arg = "NAME",
     .fallback = "guessed (synth clicks: libffm)", .help = "format of the data",
     .choices = "idx,libsvm,libffm,criteo,csv,vw,xc,ratings"},
    {"holdout", DATA, LEARN, OPT_REAL, AT(holdout), .arg = "PART", .fallback = "none",
     .help = "ratings: this part of --train, 0 to 1, is kept out of it and is the validation data",
     .low = 0, .high = 1, .above = true, .below = true},
    {"holdout-by", DATA, LEARN, OPT_CHOICE, AT(holdout_by), .arg = "HOW", .fallback = "random",
     .help =
         "which part: random (by --seed); time: the latest of all; last: the latest of each user",
     .choices = "random,time,last"},
    {"label", DATA, READ, OPT_TEXT, AT(label), .arg = "COLUMN", .fallback = "the first",
     .help = "csv: name of the label's column, or its number from 1"},
    {"weight", DATA, READ, OPT_TEXT, AT(weight), .arg = "COLUMN", .fallback = "none",
     .help = "csv: the column of the examples' weights"},
    {"ignore", DATA, READ, OPT_LIST, AT(ignore), .arg = "COLUMNS", .fallback = "none",
     .help = "csv: columns to leave out: id,date"},
    {"categorical", DATA, READ, OPT_LIST, AT(categorical), .arg = "COLUMNS", .fallback = "guessed",
     .help = "csv: columns whose values are names also where they are numbers: zip,weekday"},
    {"bins", DATA, READ, OPT_WHOLE, AT(bins), .arg = "N", .fallback = "32",
     .help = "csv: groups that a column of numbers is cut into, where others are categories",
     .low = 2, .high = 65536},
    {"hash-bits", DATA, READ, OPT_WHOLE, AT(hash_bits), .arg = "N", .fallback = "32",
     .help = "criteo, csv, vw: features are hashes of so many bits; fewer: a smaller model, and "
             "features that share a weight",
     .low = 10, .high = 32},
    {"interactions", DATA, READ, OPT_LIST, AT(interactions), .arg = "AB,CD", .fallback = "none",
     .help   = "vw: pairs of namespaces, by their first letters, whose features are multiplied out",
     .letter = 'q'},
    {"cache", DATA, READ, OPT_TEXT, AT(cache), .arg = "DIR", .fallback = "beside the file",
     .help = "folder for parsed text; none: no cache"},
    {"examples", DATA, CMD_SYNTH, OPT_WHOLE, AT(examples), .arg = "N", .fallback = "60000",
     .help = "digits: training examples to draw", .low = 1, .high = 1e8},
    {"test", DATA, CMD_SYNTH, OPT_WHOLE, AT(test), .arg = "N", .fallback = "10000",
     .help = "digits: test examples to draw", .low = 1, .high = 1e8},
    {"rows", DATA, CMD_SYNTH, OPT_WHOLE, AT(rows), .arg = "N", .fallback = "400000",
     .help = "clicks: rows to draw; ratings [1000000]: ratings", .low = 1, .high = 0x1p40},
    {"first", DATA, CMD_SYNTH, OPT_WHOLE, AT(first), .arg = "N", .fallback = "0",
     .help = "clicks: number of the first row; rows from 400000 on are test data for those before",
     .low = 0, .high = 0x1p40},
    {"fields", DATA, CMD_SYNTH, OPT_WHOLE, AT(fields), .arg = "N", .fallback = "39",
     .help = "clicks: columns", .low = 2, .high = 200},
    {"users", DATA, CMD_SYNTH, OPT_WHOLE, AT(users), .arg = "N", .fallback = "6000",
     .help = "ratings: users", .low = 1, .high = 1e8},
    {"items", DATA, CMD_SYNTH, OPT_WHOLE, AT(items), .arg = "N", .fallback = "4000",
     .help = "ratings: items", .low = 2, .high = 1e8},
    {"noise", DATA, CMD_SYNTH, OPT_REAL, AT(noise), .arg = "X", .fallback = "0.8",
     .help = "ratings: deviation of what cannot be predicted", .low = 0, .high = 100,
     .above = true},
    {"skew", DATA, CMD_SYNTH, OPT_REAL, AT(skew), .arg = "X", .fallback = "0.8",
     .help = "ratings: item number r is rated in proportion to 1 / r^X, users likewise with X/2",
     .low = 0, .high = 2},
    {"hidden", MODEL, LEARN, OPT_TEXT, AT(hidden), .arg = "N,N,...",
     .help = "mlp: units of the hidden layers"},
    {"activation", MODEL, LEARN, OPT_TEXT, AT(activation), .arg = "NAME",
     .help = "mlp: what follows a hidden layer"},
    {"dropout", MODEL, LEARN, OPT_TEXT, AT(dropout), .arg = "PART",
     .help = "mlp: part of the hidden units left out of a step"},
    {"init", MODEL, LEARN, OPT_TEXT, AT(init), .arg = "NAME|X",
     .help = "mlp: how weights start; fm, ffm: how far from 0 factors do"},
    {"loss", MODEL, LEARN, OPT_TEXT, AT(loss), .arg = "NAME",
     .help = "linear, fm, ffm, mlp: what is minimised"},
    {"bias", MODEL, LEARN, OPT_TEXT, AT(bias), .arg = "0|1",
     .help = "linear, fm, ffm: 0 is without a constant term"},
    {"k", MODEL, LEARN | CMD_SYNTH, OPT_TEXT, AT(k), .arg = "N",
     .help = "fm: factors a feature; ffm: and field; mf, bpr: factors a user and an item; synth "
             "ratings: rank [8]"},
    {"normalize", MODEL, LEARN, OPT_TEXT, AT(normalize), .arg = "0|1",
     .fallback = "fm: 1; linear, ffm: 0", .help = "linear, fm, ffm: 1 scales examples to length 1"},
    {"nonnegative", MODEL, LEARN, OPT_TEXT, AT(nonnegative), .arg = "0|1",
     .help = "mf: 1 keeps factors at or above 0"},
    {"l2-user", MODEL, LEARN, OPT_TEXT, AT(l2_user), .arg = "X",
     .help = "mf, bpr: penalty on the factors of users"},
    {"l2-item", MODEL, LEARN, OPT_TEXT, AT(l2_item), .arg = "X",
     .help = "mf, bpr: penalty on the factors of items"},
    {"l2-bias", MODEL, LEARN, OPT_TEXT, AT(l2_bias), .arg = "X",
     .help = "mf, bpr: penalty on biases"},
    {"negatives", MODEL, LEARN, OPT_TEXT, AT(negatives), .arg = "N",
     .help = "bpr: items drawn for each rating"},
    {"draw", MODEL, LEARN, OPT_TEXT, AT(draw), .arg = "NAME",
     .help = "bpr: how items are drawn: uniform, popular (as often as they are rated)"},
    {"positive", MODEL, LEARN, OPT_TEXT, AT(positive), .arg = "X",
     .help = "bpr with loss logistic: weight of what was rated"},
    {"epochs", LEARNING, LEARN, OPT_REAL, AT(epochs), .arg = "X", .fallback = "the model's",
     .help = "passes over the training data; 0.5 is half of one", .low = 0, .high = 1e6,
     .above = true},
    {"batch", LEARNING, LEARN, OPT_WHOLE, AT(batch), .arg = "N", .fallback = "the model's",
     .help = "examples an update is computed from", .low = 1, .high = 1e6},
    {"rule", LEARNING, LEARN, OPT_CHOICE, AT(rule), .arg = "NAME", .fallback = "the model's",
     .help    = "how a gradient changes the parameters",
     .choices = "sgd,momentum,adagrad,rmsprop,adam,ftrl"},
    {"lr", LEARNING, LEARN, OPT_REAL, AT(lr), .arg = "X", .fallback = "the model's for the rule",
     .help = "learning rate", .low = 0, .high = 1e6, .above = true},
    {"schedule", LEARNING, LEARN, OPT_CHOICE, AT(schedule), .arg = "NAME",
     .fallback = "the model's", .help = "how the learning rate goes on through the run",
     .choices = "constant,linear,cosine"},
    {"warmup", LEARNING, LEARN, OPT_REAL, AT(warmup), .arg = "PART", .fallback = "0",
     .help = "part of the run, 0 to 1, in which the learning rate rises from 0", .low = 0,
     .high = 1},
    {"beta1", LEARNING, LEARN, OPT_REAL, AT(beta1), .arg = "X", .fallback = "0.9 (rmsprop 0.99)",
     .help = "momentum, adam: decay of the mean gradient; rmsprop: of its square", .low = 0,
     .high = 1, .above = true, .below = true},
    {"beta2", LEARNING, LEARN, OPT_REAL, AT(beta2), .arg = "X", .fallback = "0.999 (ftrl 1)",
     .help = "adam: decay of the squared gradient; ftrl: its beta", .low = 0, .high = 1e6,
     .above = true},
    {"eps", LEARNING, LEARN, OPT_REAL, AT(eps), .arg = "X",
     .fallback = "1e-8 (adagrad 1e-12; fm, ffm 1)",
     .help =
         "adam: added to the root; rmsprop: under it; adagrad: what its sums of squares begin at",
     .low = 1e-30, .high = 1e6},
    {"l1", LEARNING, LEARN, OPT_REAL, AT(l1), .arg = "X", .fallback = "0", .help = "penalty on |w|",
     .low = 0, .high = 1e6},
    {"l2", LEARNING, LEARN, OPT_REAL, AT(l2), .arg = "X", .fallback = "0",
     .help = "penalty on w^2 / 2; mf, bpr: that of factors", .low = 0, .high = 1e6},
    {"order", LEARNING, LEARN, OPT_CHOICE, AT(order), .arg = "NAME", .fallback = "shuffle",
     .help    = "shuffle: a new random order every epoch; file: as the data come",
     .choices = "shuffle,file"},
    {"progressive", LEARNING, LEARN, OPT_FLAG, AT(progressive),
     .help =
         "one pass in the order of the file, with up to ten times the default lr where examples "
         "are short; tells the mean loss of every example just before the model learns from it "
         "(progressive validation)"},
    {"seed", LEARNING, LEARN | CMD_SYNTH, OPT_WHOLE, AT(seed), .arg = "N", .fallback = "0",
     .help = "of everything random", .low = 0, .high = 18446744073709551615.0},
    {"workers", WORKERS, CMD_TRAIN | CMD_COMPARE | USE | CMD_INSPECT | CMD_RECOMMEND, OPT_WHOLES,
     AT(workers), .arg = "N", .fallback = "one per core",
     .help = "worker threads; compare takes a list: 1,2,4", .low = 1, .high = 1024},
    {"mode", WORKERS, CMD_TRAIN, OPT_CHOICE, AT(mode), .arg = "NAME", .fallback = "async",
     .help = "async: nobody waits; sync: all wait after every step; locked: one update at a time; "
             "sequential: one worker, the same bits every time",
     .choices = "async,sync,locked,sequential"},
    {"modes", WORKERS, CMD_COMPARE, OPT_LIST, AT(modes), .arg = "LIST",
     .fallback = "sequential,sync,async",
     .help = "modes to compare: async, sync, locked, sequential; sync+1 is sync with one backup "
             "worker"},
    {"blocks", WORKERS, LEARN, OPT_CHOICE, AT(blocks), .arg = "NAME", .fallback = "auto",
     .help =
         "mf, bpr: auto: a grid of blocks, none in conflict with another, so that the result is "
         "the same for any number of workers; off: plain Hogwild",
     .choices = "auto,off"},
    {"share", WORKERS, LEARN, OPT_CHOICE, AT(share), .arg = "NAME", .fallback = "auto",
     .help    = "shared: all write one copy (Hogwild); hot: the most frequent rows private and "
                "merged; replica: all rows private and merged; auto: by table",
     .choices = "auto,shared,hot,replica"},
    {"merge", WORKERS, LEARN, OPT_WHOLE, AT(merge), .arg = "N", .fallback = "chosen",
     .help = "hot, replica: examples of a worker between merges", .low = 1, .high = 1e9},
    {"hot", WORKERS, LEARN, OPT_WHOLE, AT(hot), .arg = "N", .fallback = "by their size",
     .help = "hot: private rows", .low = 1, .high = 1e9},
    {"damp", WORKERS, LEARN, OPT_REAL, AT(damp), .arg = "N", .fallback = "4; between processes 16",
     .help =
         "hot, replica, and between processes: progress staler than N times what is usual counts "
         "less; -1: never",
     .low = -1, .high = 1e9},
    {"backup", WORKERS, CMD_TRAIN, OPT_WHOLE, AT(backup), .arg = "N", .fallback = "0",
     .help =
         "sync: the slowest N gradients of a step are dropped; of many processes, the slowest N "
         "are not waited for",
     .low = 0, .high = 1023},
    {"pin", WORKERS, LEARN, OPT_FLAG, AT(pin), .help = "bind workers to cores"},
    {"exchange", PROCESSES, CMD_TRAIN, OPT_CHOICE, AT(exchange), .arg = "NAME", .fallback = "auto",
     .help = "how processes that mpirun has started talk; tcp: by sockets; mpi: by MPI's messages; "
             "auto: by sockets, or MPI where they cannot; none: each trains for itself",
     .choices = "auto,tcp,mpi,none"},
    {"max-lag", PROCESSES, CMD_TRAIN, OPT_WHOLE, AT(max_lag), .arg = "N", .fallback = "any",
     .help = "updates that a process may be ahead of the slowest", .low = 1, .high = 1e15},
    {"local-steps", PROCESSES, CMD_TRAIN, OPT_WHOLE, AT(local_steps), .arg = "N|auto",
     .fallback = "sync 1, else auto",
     .help =
         "updates of a process between exchanges; with --mode sync all wait for each other then; "
         "auto: sync as few as hide the network, else as often as is cheap",
     .low = 1, .high = 1e9, .word = "auto"},
    {"merging", PROCESSES, CMD_TRAIN, OPT_TEXT, AT(merging), .arg = "NAME,TABLE=NAME,...",
     .fallback = "auto",
     .help = "delta: what processes have learnt is added up; mean: averaged; elastic: they draw "
             "each other to a centre; auto: delta, or mean for sync with --local-steps and "
             "for --outer-momentum; TABLE=NAME: of one of the model's tables"},
    {"compress", PROCESSES, CMD_TRAIN, OPT_CHOICE, AT(compress), .arg = "NAME", .fallback = "none",
     .help = "what is sent: floats of 32 bits (none), 16 or 8 bits, the largest tenth (topk); the "
             "rest is sent later; auto: 8 bits where the network is slow, else none",
     .choices = "auto,none,bf16,fp16,int8,topk"},
    {"drop", PROCESSES, CMD_TRAIN, OPT_REAL, AT(drop), .arg = "N", .fallback = "never",
     .help = "what a process has learnt is dropped where it is staler than N times the usual",
     .low = 1, .high = 1e9},
    {"clip-deltas", PROCESSES, CMD_TRAIN, OPT_REAL, AT(clip_deltas), .arg = "N",
     .fallback = "never",
     .help     = "what a process has learnt is cut to N times the usual norm where it is larger",
     .low = 1, .high = 1e9},
    {"outer-momentum", PROCESSES, CMD_TRAIN, OPT_REAL, AT(outer_momentum), .arg = "X",
     .fallback = "0",
     .help     = "Nesterov momentum on the averages of what processes have learnt, as in local SGD "
                 "and DiLoCo: with --local-steps, 0.5 to 0.9",
     .low = 0, .high = 1, .below = true},
    {"guard", PROCESSES, CMD_TRAIN, OPT_CHOICE, AT(guard), .arg = "NAME", .fallback = "auto",
     .help    = "on: where the loss rises far and does not come back, or is none, processes count "
                "less, keep together, and at last go back to a good state; off: the run fails; auto: "
                "on, but for --mode sync and --order file",
     .choices = "auto,on,off"},
    {"dead-after", PROCESSES, CMD_TRAIN, OPT_TIME, AT(dead_after), .arg = "TIME", .fallback = "10s",
     .help = "a process that was silent for so long is given up, and others do its part",
     .low = 0.5, .high = 1e6},
    {"min-processes", PROCESSES, CMD_TRAIN, OPT_WHOLE, AT(min_processes), .arg = "N",
     .fallback = "1", .help = "fail where fewer are left", .low = 1, .high = 256},
    {"eval-every", STOPPING, LEARN, OPT_REAL, AT(eval_every), .arg = "N", .fallback = "an epoch",
     .help = "examples between evaluations of --valid", .low = 0, .high = 1e15, .above = true},
    {"target", STOPPING, LEARN, OPT_TEXT, AT(target), .arg = "METRIC=VALUE",
     .help = "stop when reached: accuracy=0.97; metrics: loss, accuracy, error, auc, logloss, ne "
             "(normalised entropy), rmse, mae, p1, p3, p5 (precision at 1, 3, 5); of rankings "
             "precision, recall, ndcg, map"},
    {"patience", STOPPING, LEARN, OPT_WHOLE, AT(patience), .arg = "N|never",
     .fallback = "linear, fm, ffm: 2; mf, bpr: never, but the best is kept; others: never",
     .help = "stop after N evaluations without a better loss, and keep the best", .low = 1,
     .high = 1e6, .word = "never"},
    {"max-seconds", STOPPING, LEARN, OPT_TIME, AT(max_seconds), .arg = "TIME",
     .fallback = "no limit", .help = "stop after this long: 90, 90s, 15min, 2h", .low = 0,
     .high = 1e9, .above = true},
    {"checkpoint", CHECKPOINT, CMD_TRAIN, OPT_TEXT, AT(checkpoint), .arg = "DIR",
     .help = "folder for the state of the run"},
    {"checkpoint-every", CHECKPOINT, CMD_TRAIN, OPT_TIME, AT(checkpoint_every), .arg = "TIME",
     .fallback = "60s", .help = "time between checkpoints", .low = 0, .high = 1e9, .above = true},
    {"resume", CHECKPOINT, CMD_TRAIN, OPT_FLAG, AT(resume),
     .help = "go on from the checkpoint if there is one"},
    {"straggler", EXPERIMENT, LEARN, OPT_LIST, AT(straggler), .arg = "W:FACTORx",
     .help = "worker W (from 0) takes FACTOR times as long: 3:10x; 10x is the last worker; "
             "0:2x+3:10x are two; compare runs each of a list: none,3:10x"},
    {"pace", EXPERIMENT, LEARN, OPT_TIME, AT(pace), .arg = "TIME", .fallback = "0",
     .help = "a step takes at least this long, by sleeping: 5ms, 0.01s, 10us", .low = 0,
     .high = 3600},
    {"output", OUTPUT, CMD_TRAIN | CMD_PREDICT | CMD_SYNTH | CMD_RECOMMEND, OPT_TEXT, AT(output),
     .arg  = "PATH",
     .help = "where the result goes; written beside and renamed, so an old file stays whole until "
             "the new one is",
     .letter = 'o'},
    {"probabilities", OUTPUT, CMD_PREDICT, OPT_FLAG, AT(probabilities),
     .help = "classes: after the label, the probability of every class, TAB between"},
    {"log", OUTPUT, LEARN, OPT_TEXT, AT(log), .arg = "FILE.jsonl",
     .help = "one JSON object a line as the run goes on (--resume appends)"},
    {"report", OUTPUT, LEARN, OPT_TEXT, AT(report), .arg = "FILE.html",
     .help = "one page with curves, staleness, shares of the workers and all settings"},
    {"json", OUTPUT, LEARN | CMD_EVAL | CMD_INSPECT, OPT_FLAG, AT(json),
     .help = "the result as JSON on standard output"},
    {"top", OUTPUT, CMD_INSPECT | CMD_RECOMMEND | CMD_EVAL, OPT_WHOLE, AT(top), .arg = "N",
     .fallback = "inspect 20, recommend and eval 10",
     .help =
         "inspect: features to show of a model, the heaviest first; recommend: items; eval of a "
         "ranking model: items that its metrics look at",
     .low = 1, .high = 1e9},
    {"machine", OUTPUT, CMD_INSPECT, OPT_FLAG, AT(machine),
     .help = "describe cores, caches and kernels"},
    {"quiet", OUTPUT, LEARN | USE | CMD_SYNTH | CMD_RECOMMEND, OPT_FLAG, AT(quiet),
     .help = "no progress and no notes; train: no summary"},
    {"config", OUTPUT, LEARN | USE | CMD_SYNTH | CMD_RECOMMEND, OPT_TEXT, AT(config), .arg = "FILE",
     .help =
         "options from a file, lines \"name = value\", # comments; the command line goes first"},
    {.name = NULL},
};
_Static_assert(sizeof opt_table / sizeof *opt_table <= OPT_CAPACITY, "OPT_CAPACITY is too small");

const cli_command cli_commands[] = {
    {"train", CMD_TRAIN, "MODEL --train PATH [--valid PATH] [-o OUT.safetensors] [options]",
     "train a model",
     "  asgd train mlp --train mnist --valid mnist -o digits.safetensors\n"
     "  asgd train linear --train a9a --valid a9a.t --workers 4 --epochs 5 --report run.html\n"
     "  asgd train fm --train clicks.ffm --valid test.ffm --k 8 --patience 2 -o fm.safetensors\n"
     "  asgd train ffm --train train.criteo --format criteo -o ffm.safetensors\n"
     "  asgd train fm --train flights.csv --label delayed --ignore id\n"
     "  asgd train mf --train ratings.tsv --holdout 0.1 -o mf.safetensors\n"
     "  asgd train bpr --train fold1.tsv,fold2.tsv --valid fold3.tsv -o bpr.safetensors\n"
     "  zcat log.vw.gz | asgd train linear --train - --format vw -q ab --progressive\n",
     "Ctrl-C ends the run in good order, saves -o and the checkpoint, and says how to go on;\n"
     "a second one ends it at once.  Exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n",
     "MODEL", false, cmd_train},
    {"eval", CMD_EVAL, "OUT.safetensors --data PATH [options]", "measure a trained model on data",
     "  asgd eval digits.safetensors --data mnist\n"
     "  asgd eval adult.safetensors --data a9a.t --json\n",
     "Metrics that make no sense for a model are left out.  A model remembers how its training\n"
     "data were read: features that they did not have are left out.\n",
     "OUT.safetensors", false, cmd_eval},
    {"predict", CMD_PREDICT, "OUT.safetensors --data PATH [-o FILE] [options]",
     "one line of prediction for each example",
     "  asgd predict digits.safetensors --data mnist -o labels.txt\n"
     "  asgd predict adult.safetensors --data a9a.t > probabilities.txt\n"
     "  asgd predict fm.safetensors --data test.ffm -o clicks.txt\n",
     "A line is the label for models of classes, the five labels predicted first for sets of "
     "labels,\n"
     "the probability (logistic) or margin (hinge) of the second label for two-class models, and "
     "the\n"
     "value for regression.  Features that the training data did not have are left out.\n",
     "OUT.safetensors", false, cmd_predict},
    {"recommend", CMD_RECOMMEND, "OUT.safetensors [--user U | --item I] [--exclude FILE] [options]",
     "the best items for a user, or for all; the items most like one",
     "  asgd recommend mf.safetensors --user 196 --exclude ratings.tsv\n"
     "  asgd recommend bpr.safetensors --exclude fold1.tsv,fold2.tsv --top 20 -o all.tsv\n"
     "  asgd recommend mf.safetensors --item 50\n",
     "For models mf and bpr.  All items are ranked, exactly.  A line is \"item TAB score\", with\n"
     "\"user TAB\" before it where all users are asked for; the score is mf's prediction of the\n"
     "rating, bpr's score, or with --item the cosine of the factors.  A user that the training\n"
     "data lack gets the items with the best biases.\n",
     "OUT.safetensors", false, cmd_recommend},
    {"compare", CMD_COMPARE, "MODEL --train PATH --valid PATH [--modes LIST] [options]",
     "the same training in several modes, side by side",
     "  asgd compare mlp --train mnist --valid mnist --target accuracy=0.97\n"
     "  asgd compare mlp --train mnist --valid mnist --modes sync,sync+1,async --workers 4 \\\n"
     "      --straggler none,3:10x --report compare.html\n",
     "Every run has the same seed and settings.  sequential runs once, without straggler.\n",
     "MODEL", false, cmd_compare},
    {"synth", CMD_SYNTH, "KIND -o PATH [options]", "make synthetic data",
     "  asgd synth digits -o digits\n"
     "  asgd synth digits -o small --examples 2000 --test 500 --seed 7\n"
     "  asgd synth clicks -o train.ffm --rows 400000\n"
     "  asgd synth clicks -o test.ffm --rows 100000 --first 400000\n"
     "  asgd synth ratings -o ratings.tsv --users 6000 --items 4000 --rows 1000000\n",
     "KIND: digits (a folder like MNIST's: 28x28 images of the ten digits),\n"
     "clicks (a file like Criteo's: 39 columns, 2.7 M features, in format libffm, libsvm, vw,\n"
     "criteo or csv; - is standard output; it tells the best logloss there is),\n"
     "ratings (low rank plus noise, items and users more and less popular; tells the best RMSE).\n",
     "KIND", false, cmd_synth},
    {"inspect", CMD_INSPECT, "PATH | --machine", "what is in a model, in data, in this machine",
     "  asgd inspect digits.safetensors\n"
     "  asgd inspect fm.safetensors --top 50 --data clicks.vw\n"
     "  asgd inspect mnist\n"
     "  asgd inspect flights.csv --label delayed\n",
     "The features of a model are told by name where --data has text that names them.\n", "PATH",
     true, cmd_inspect},
    {NULL, 0, NULL, NULL, NULL, NULL, NULL, false, NULL},
};

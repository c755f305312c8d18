# Tests.  A new tests/<folder>/test_<name>.c or tests/cli/<name>.sh needs no line here: it becomes the
# test folder.name with the label `folder`.  A name that ends in _long adds the label `long`, which the
# presets and scripts/test leave out.

# Tests ask for more memory than there is: that must return NULL, as it does without sanitizers.
set(test_environment
  "ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1:strict_string_checks=1"
  "TSAN_OPTIONS=allocator_may_return_null=1:halt_on_error=1"
  "UBSAN_OPTIONS=print_stacktrace=1")
if(ASGD_DATA)
  list(APPEND test_environment "ASGD_DATA=${ASGD_DATA}")
endif()

function(asgd_test name label)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${label}" ENVIRONMENT "${test_environment}"
    TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

# Each test file of C is a program of its own: a crash in one leaves the others their result.
find_path(ASGD_cmocka_INCLUDE cmocka.h)
find_library(ASGD_cmocka_LIBRARY cmocka)
mark_as_advanced(ASGD_cmocka_INCLUDE ASGD_cmocka_LIBRARY)
if(NOT ASGD_cmocka_INCLUDE OR NOT ASGD_cmocka_LIBRARY)
  message(FATAL_ERROR "the tests need cmocka: run scripts/setup, or apt-get install "
    "libcmocka-dev; -DASGD_TESTS=OFF builds without them")
endif()
file(GLOB test_sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/tests tests/*/test_*.c)
foreach(file IN LISTS test_sources)
  cmake_path(GET file PARENT_PATH folder)
  cmake_path(GET file STEM stem)
  string(REGEX REPLACE "^test_" "" name ${stem})
  set(target test_${folder}_${name})
  add_executable(${target} tests/${file})
  target_include_directories(${target} PRIVATE src include tests ${ASGD_INCLUDES}
    ${ASGD_cmocka_INCLUDE})
  target_link_libraries(${target} PRIVATE asgd_static asgd_flags ${ASGD_cmocka_LIBRARY})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY tests)
  set(labels ${folder})
  if(name MATCHES "_long$")
    list(APPEND labels long)
  endif()
  asgd_test(${folder}.${name} "${labels}" ${target})
  if("long" IN_LIST labels)
    set_tests_properties(${folder}.${name} PROPERTIES TIMEOUT 1200)
  endif()
endforeach()

# What the modules for many processes are made of and needs no MPI.
target_sources(test_exchange_meet PRIVATE src/exchange/mpi/meet.c)
target_sources(test_exchange_sockets PRIVATE src/exchange/mpi/sockets.c)

# The parsers against hostile input: with ASGD_FUZZ as fuzzers, else as tests over their corpus.
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(file IN LISTS fuzz_sources)
  cmake_path(GET file STEM target)
  string(REGEX REPLACE "^fuzz_" "" name ${target})
  add_executable(${target} ${file})
  target_include_directories(${target} PRIVATE src include ${ASGD_INCLUDES})
  target_link_libraries(${target} PRIVATE asgd_static asgd_flags)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY tests)
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(ASGD_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    asgd_test(fuzz.${name} fuzz ${target} -runs=20000 -max_len=4096 -rss_limit_mb=4096
      ${PROJECT_BINARY_DIR}/corpus/${name} ${corpus})
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/corpus/${name}) # what is found goes there
  else()
    target_sources(${target} PRIVATE tests/fuzz/replay_main.c)
    asgd_test(fuzz.${name} fuzz ${target} ${corpus})
  endif()
endforeach()

# The program, driven by shell scripts, each in an empty folder of its own.
file(GLOB cli_tests CONFIGURE_DEPENDS tests/cli/*.sh)
foreach(file IN LISTS cli_tests)
  cmake_path(GET file STEM name)
  if(TARGET asgd)
    asgd_test(cli.${name} cli bash ${PROJECT_SOURCE_DIR}/tests/in_folder.sh bash ${file})
    set_property(TEST cli.${name} APPEND PROPERTY ENVIRONMENT "ASGD=$<TARGET_FILE:asgd>")
  endif()
endforeach()

# Processes over the real MPI, each of those that were found, started as a user starts them.  They are timed,
# so nothing else runs beside them.
add_library(asgd_old MODULE tests/exchange/module_old.c) # refused by exchange.link
set_target_properties(asgd_old PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_include_directories(asgd_old PRIVATE src include)
target_link_libraries(asgd_old PRIVATE asgd_flags)
if(ASGD_MPI_KINDS)
  add_executable(link_check tests/mpi/link_check.c)
  target_include_directories(link_check PRIVATE src include)
  target_link_libraries(link_check PRIVATE asgd_static asgd_flags)
  set_target_properties(link_check PROPERTIES RUNTIME_OUTPUT_DIRECTORY tests)
endif()
function(asgd_mpi_test name kind carrier)
  asgd_test(mpi.${name} mpi bash ${PROJECT_SOURCE_DIR}/tests/mpi/run.sh ${ARGN})
  set_tests_properties(mpi.${name} PROPERTIES RUN_SERIAL ON TIMEOUT 120)
  set_property(TEST mpi.${name} APPEND PROPERTY ENVIRONMENT "MPI_KIND=${kind}" "MPIRUN=${ASGD_MPIRUN_${kind}}"
    "LAUNCHER=${PROJECT_SOURCE_DIR}/scripts/asgd-mpirun" "ASGD_MODULES=${PROJECT_BINARY_DIR}"
    "LINK_CHECK=$<TARGET_FILE:link_check>" "LINK_CHECK_NAME=${carrier}")
endfunction()
foreach(kind IN LISTS ASGD_MPI_KINDS)
  # how frames go, processes, how many get through, exit code, what happens
  foreach(carrier IN ITEMS tcp mpi)
    foreach(n IN ITEMS 1 2 8)
      asgd_mpi_test(${kind}.${carrier}_traffic_${n} ${kind} ${carrier} ${n} ${n} 0 traffic)
    endforeach()
    asgd_mpi_test(${kind}.${carrier}_stop ${kind} ${carrier} 3 3 0 stop 3)
    asgd_mpi_test(${kind}.${carrier}_code ${kind} ${carrier} 3 0 7 code)
  endforeach()
endforeach()
if(openmpi IN_LIST ASGD_MPI_KINDS) # which survives; MPI's messages over shared memory and over its own TCP
  set(ways tcp mpi mpi_tcp)
  if(ASGD_SANITIZE) # the same code of ours; and the launcher is a script
    set(ways tcp mpi)
  endif()
  foreach(way IN LISTS ways)
    string(SUBSTRING ${way} 0 3 carrier)
    asgd_mpi_test(openmpi.${way}_kill openmpi ${carrier} 4 3 0 kill 5)
    asgd_mpi_test(openmpi.${way}_kill_first openmpi ${carrier} 4 3 0 kill-first 5)
    asgd_mpi_test(openmpi.${way}_give_up openmpi ${carrier} 4 3 0 give-up 6)
  endforeach()
  asgd_mpi_test(openmpi.die_once openmpi auto 3 3 0 die-once)
  if(NOT ASGD_SANITIZE)
    asgd_mpi_test(openmpi.mpi_tcp_traffic openmpi mpi 4 4 0 traffic)
    foreach(what IN ITEMS kill kill_first give_up traffic)
      set_property(TEST mpi.openmpi.mpi_tcp_${what} APPEND PROPERTY ENVIRONMENT "TRANSPORT=tcp")
    endforeach()
    asgd_mpi_test(openmpi.launcher openmpi auto launcher)
  endif()
endif()
if(openmpi IN_LIST ASGD_MPI_KINDS)
  asgd_test(mpi.hosts_long "mpi;long" bash ${PROJECT_SOURCE_DIR}/tests/mpi/hosts.sh 6)
  set_tests_properties(mpi.hosts_long PROPERTIES RUN_SERIAL ON TIMEOUT 1200)
  set_property(TEST mpi.hosts_long APPEND PROPERTY ENVIRONMENT "ASGD=$<TARGET_FILE:asgd>"
    "MPIRUN=${PROJECT_SOURCE_DIR}/scripts/asgd-mpirun" "ASGD_MODULES=${PROJECT_BINARY_DIR}")
endif()
if(openmpi IN_LIST ASGD_MPI_KINDS AND mpich IN_LIST ASGD_MPI_KINDS)
  asgd_mpi_test(openmpi.under_mpich mpich openmpi 2 "has started 2 processes, but Open MPI" 1 traffic)
  asgd_mpi_test(mpich.under_openmpi openmpi mpich 2 "has started 2 processes, but MPICH" 1 traffic)
endif()

# What a user of the installed library does.
asgd_test(install.outside_project install bash ${PROJECT_SOURCE_DIR}/tests/install/run.sh
  ${CMAKE_COMMAND} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR} ${CMAKE_C_COMPILER})

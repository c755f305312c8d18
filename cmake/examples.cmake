# Each examples/<name>.c is built as a user would, against <asgd/asgd.h> alone, and run as a test: an
# example returns non-zero when its result is wrong.

file(GLOB example_sources CONFIGURE_DEPENDS examples/*.c)
foreach(file IN LISTS example_sources)
  cmake_path(GET file STEM name)
  set(target example_${name})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE asgd::asgd asgd_flags pthread m)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY examples OUTPUT_NAME ${name})
  if(ASGD_TESTS)
    asgd_test(examples.${name} examples bash ${PROJECT_SOURCE_DIR}/tests/in_folder.sh
      $<TARGET_FILE:${target}>)
  endif()
endforeach()

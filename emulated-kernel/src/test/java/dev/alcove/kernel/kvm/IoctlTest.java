// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class IoctlTest {
    @Test
    void requestNumbersAreThoseOfTheHeader() throws ReflectiveOperationException {
        int compared = 0;
        for (Field field : Ioctl.class.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && field.getType() == int.class) {
                Number expected = (Number) kvm.class.getMethod("KVM_" + field.getName()).invoke(null);
                assertEquals(expected.intValue(), field.getInt(null), field.getName());
                compared++;
            }
        }
        assertTrue(compared > 40);
    }
}
